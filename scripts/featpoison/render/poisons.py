"""Figure 5: clean images and what feature matching made of them."""

import numpy as np
from matplotlib.figure import Figure

from featpoison.render import grid
from featpoison.render.poison_images import Shown


def draw(shown: list[Shown], clean: list[np.ndarray]) -> Figure:
    """Base images of the first beta, then the poisons of each beta; pixels outside [0, 1] are clipped for
    display."""
    same = all(np.array_equal(part.base, shown[0].base) for part in shown)
    rows = [("clean", clean[0])]
    for part, base in zip(shown, clean, strict=True):
        if not same and part is not shown[0]:
            rows.append(("clean", base))
        rows.append((rf"$\beta$ = {part.beta:g}", part.images))
    outside = ", ".join(f"{100 * np.mean((part.images < 0) | (part.images > 1)):.0f} %" for part in shown)
    return grid.draw(
        rows,
        f"pixels clipped to [0, 1] for display; outside of it lie {outside} of the shown poisons' pixels",
    )
