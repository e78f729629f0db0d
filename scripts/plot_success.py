"""Draw the figure "success": success on targets against what differs between rows of the table of attacks on
pre-training."""

from featpoison.programs import rendered
from featpoison.render.success import draw
from featpoison.results.target_cells import from_csv

if __name__ == "__main__":
    rendered.run_figure(__doc__, lambda text: draw(from_csv(text)))
