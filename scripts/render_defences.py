"""Render the table of defences as LaTeX (.tex) or as a picture (.pdf, .png)."""

from featpoison.programs import rendered
from featpoison.render.defence_table import table_of
from featpoison.results.csv_text import from_csv
from featpoison.results.defence_cells import DefenceCell

if __name__ == "__main__":
    rendered.run(__doc__, lambda text: table_of(from_csv(DefenceCell, text)))
