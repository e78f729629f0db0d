"""Indiscriminate poisoning of frozen feature extractors (arXiv 2402.12626): plain functions over arrays."""
