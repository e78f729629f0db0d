"""What the programs in `scripts/` share: arguments, start, record, output."""
