"""Indiscriminate poisoning of frozen feature extractors (arXiv 2402.12626), as a library of plain functions over arrays."""
