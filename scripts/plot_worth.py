"""Figure "worth": what the pipeline's drop changes by when one stage is left out or replaced."""

from featpoison.programs import rendered
from featpoison.render.worth import draw
from featpoison.results.ablation_cells import from_csv

if __name__ == "__main__":
    rendered.run_figure(__doc__, lambda text: draw(from_csv(text)))
