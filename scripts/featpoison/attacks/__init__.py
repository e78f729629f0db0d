"""The attacks, one file each; `names.py` lists them."""
