"""Figure 9: what feature matching added to the base images, one colour scale for all rows."""

import numpy as np
from matplotlib.figure import Figure

from featpoison.render import grid
from featpoison.render.poison_images import Shown


def draw(shown: list[Shown], clean: list[np.ndarray]) -> Figure:
    """nu - mu' per beta, mapped so that grey is no change and the 99.5 % largest change of all rows fills the
    range."""
    changes = [part.images - base for part, base in zip(shown, clean, strict=True)]
    scale = float(np.quantile(np.abs(np.concatenate(changes)), 0.995))
    rows = [
        (rf"$\beta$ = {part.beta:g}", 0.5 + change / (2 * scale))
        for part, change in zip(shown, changes, strict=True)
    ]
    return grid.draw(
        rows,
        f"grey: unchanged; black and white: -{scale:.2f} and +{scale:.2f} of the pixel range, the same "
        "scale in every row",
    )
