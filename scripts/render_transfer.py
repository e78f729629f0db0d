"""Render the transfer matrix as a LaTeX table (.tex) or as a heat map (.pdf, .png)."""

from featpoison.programs import rendered
from featpoison.render.transfer import draw, table_of
from featpoison.results.transfer_cells import from_csv

if __name__ == "__main__":
    rendered.run(__doc__, lambda text: table_of(from_csv(text)), lambda text: draw(from_csv(text)))
