"""Figure 5: clean images and the poisons that feature matching makes of them, one row per beta."""

from featpoison.programs.plots import run
from featpoison.render.poisons import draw

if __name__ == "__main__":
    run(__doc__, draw)
