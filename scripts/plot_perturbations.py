"""Figure 9: the perturbations that feature matching adds to the base images, one row per beta."""

from featpoison.programs.plots import run
from featpoison.render.perturbations import draw

if __name__ == "__main__":
    run(__doc__, draw)
