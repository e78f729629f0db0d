"""Where a number comes from: lineage, digests, recomputed cells, RO-Crate."""
