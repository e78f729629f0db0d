"""Render the table of attacks on pre-training as LaTeX (.tex) or as a picture (.pdf, .png)."""

from featpoison.programs import rendered
from featpoison.render.pretraining_table import table_of
from featpoison.results.target_cells import from_csv

if __name__ == "__main__":
    rendered.run(__doc__, lambda text: table_of(from_csv(text)))
