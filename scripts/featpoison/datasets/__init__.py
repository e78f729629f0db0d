"""Image data sets: downloads, a reader for each format, and one layout in memory and in files."""
