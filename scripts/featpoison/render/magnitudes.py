"""Figure 6: how large the poisons' largest pixels are, against the clean training images."""

import numpy as np
import seaborn
from matplotlib.figure import Figure

from featpoison.render.shown import Shown

BINS = 30


def draw(shown: list[Shown], clean_largest: float) -> Figure:
    """One panel per beta with shared bins and axes; the line marks the largest clean magnitude."""
    figure = Figure(figsize=(2.3 * len(shown), 2.0))
    panels = np.atleast_1d(figure.subplots(1, len(shown), sharex=True, sharey=True))
    sizes = [np.abs(part.images).max((1, 2, 3)) for part in shown]
    bins = np.linspace(0, max(clean_largest, *(size.max() for size in sizes)), BINS + 1)
    for axes, part, size in zip(panels, shown, sizes, strict=True):
        seaborn.histplot(x=size, bins=bins, ax=axes, color=seaborn.color_palette("colorblind")[0], edgecolor="white", linewidth=0.3)
        axes.axvline(clean_largest, color="black", linestyle="--", linewidth=0.8, label="largest clean pixel")
        beyond = 100 * np.mean(size > clean_largest)
        axes.set_title(rf"$\beta$ = {part.beta:g}: {beyond:.0f} % beyond clean", fontsize=8)
        axes.set_xlabel(r"largest pixel $\|\nu\|_\infty$ (clean range 1)")
        axes.set_ylabel(rf"poisons ($\epsilon_d$ = {part.eps_d:g}, n = {len(size)})")
    panels[0].legend(frameon=False, fontsize=7, loc="upper left", borderaxespad=0)
    figure.tight_layout()
    return figure
