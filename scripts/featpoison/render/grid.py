"""Grids of images."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

INCHES = 0.62


def draw(rows: Sequence[tuple[str, np.ndarray | list[np.ndarray]]], note: str) -> Figure:
    """One labelled row per (label, images (k, 3, h, w) in [0, 1]), and a note under all of them.

    Images (3, h, w) of several sizes come in a list.
    """
    count = max(len(images) for _, images in rows)
    figure = Figure(figsize=(INCHES * count + 1.0, INCHES * len(rows) + 0.35))
    axes = figure.subplots(len(rows), count, squeeze=False, gridspec_kw={"wspace": 0.06, "hspace": 0.06})
    for line, (label, images) in zip(axes, rows, strict=True):
        for place in line:
            place.set_axis_off()
        for place, image in zip(line, images, strict=False):
            place.imshow(np.clip(image.transpose(1, 2, 0), 0, 1), interpolation="nearest")
        line[0].text(-0.15, 0.5, label, transform=line[0].transAxes, ha="right", va="center")
    below = figure.subplotpars.bottom - 0.08 / figure.get_figheight()
    figure.text(0.5, below, note, ha="center", va="top", fontsize=7, color="0.25")
    return figure
