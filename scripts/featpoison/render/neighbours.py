"""Nearest neighbours of targets before and after an attack on pre-training."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

SIDE, GAP = 0.5, 0.25  # inches: a picture, and what parts the target from the neighbours on either encoder
OWN, WANTED, OTHER = "#0072b2", "#d55e00", "0.75"
"""Frames of neighbours of the target's own class, of the wanted one, and of any other."""


@dataclass(frozen=True)
class Neighbours:
    """Images next to a target, nearest first."""

    images: np.ndarray
    """uint8 (k, 3, h, w)."""
    labels: np.ndarray
    """(k,)."""


@dataclass(frozen=True)
class Target:
    """A target with its neighbours on two encoders."""

    image: np.ndarray
    """uint8 (3, h, w)."""
    label: int
    wanted: int
    words: str
    """Both classes by name."""
    before: Neighbours
    after: Neighbours


def draw(targets: list[Target], before: str, after: str) -> Figure:
    """A row for each target: it, its neighbours on the encoder `before`, and those on the encoder `after`."""
    count = len(targets[0].before.images)
    width = (1 + 2 * count) * SIDE + 2 * GAP
    figure = Figure(figsize=(width, len(targets) * SIDE + 0.55))
    starts = (SIDE + GAP, SIDE + 2 * GAP + count * SIDE)
    for i, target in enumerate(targets):
        top = 0.25 + i * SIDE
        _picture(figure, target.image, None, 0, top).set_ylabel(
            target.words, rotation=0, ha="right", va="center"
        )
        for start, found in zip(starts, (target.before, target.after), strict=True):
            for k, (image, label) in enumerate(zip(found.images, found.labels, strict=True)):
                colour = OWN if label == target.label else WANTED if label == target.wanted else OTHER
                _picture(figure, image, colour, start + k * SIDE, top)
    height = figure.get_figheight()
    for start, name in zip(starts, (before, after), strict=True):
        figure.text((start + count * SIDE / 2) / width, 1 - 0.1 / height, name, ha="center", va="center")
    kinds = (("its own class", OWN), ("the wanted class", WANTED), ("another class", OTHER))
    frames = [Patch(facecolor="none", edgecolor=colour, linewidth=1.5, label=name) for name, colour in kinds]
    figure.legend(handles=frames, loc="lower center", ncols=3, frameon=False, bbox_to_anchor=(0.5, 0))
    return figure


def _picture(figure: Figure, image: np.ndarray, colour: str | None, left: float, top: float) -> Axes:
    """An image at a place in inches from the left and the upper edge, in a frame."""
    width, height = figure.get_size_inches()
    margin = 0.03
    side = SIDE - 2 * margin
    place = (
        (left + margin) / width,
        1 - (top + margin + side) / height,
        side / width,
        side / height,
    )
    axes = figure.add_axes(place, xticks=[], yticks=[])
    axes.imshow(image.transpose(1, 2, 0), interpolation="nearest")
    for spine in axes.spines.values():
        spine.set_visible(colour is not None)
        spine.set(color=colour or "black", linewidth=1.5)
    return axes
