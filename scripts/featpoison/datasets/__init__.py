"""Image data sets: downloads, readers by format, one layout in memory."""
