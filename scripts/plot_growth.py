"""Figure "growth": how drops grow with the budget, beside those of the paper."""

from featpoison.programs import rendered
from featpoison.render.growth import draw
from featpoison.results.cells import from_csv

if __name__ == "__main__":
    rendered.run_figure(__doc__, lambda text: draw(from_csv(text)))
