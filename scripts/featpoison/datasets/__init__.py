"""Data sets: official archives to uint8 images and labels."""
