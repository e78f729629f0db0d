"""The file graph in Python: paths, steps, tables and figures; typed and tested, and handed to Snakemake."""
