"""Frozen feature extractors f: pixels in [0, 1] to features; resize and normalisation belong to f."""
