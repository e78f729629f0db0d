"""The defences, one file each; `names.py` lists them."""
