"""Targets, and the images that poison pre-training for them."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from featpoison.render import grid


@dataclass(frozen=True)
class TargetPictures:
    """A target and some of the images that were made for it."""

    own: str
    """Name of its class."""
    wanted: str
    """Name of the class that heads shall give it."""
    target: np.ndarray
    """uint8 (3, h, w)."""
    poisons: list[np.ndarray]
    """uint8 (3, ., .), of several sizes."""


def draw(shown: list[TargetPictures], attack: str) -> Figure:
    """A row for each target: the target, and then its poisons."""
    rows = [
        (f"{one.own} to {one.wanted}", [image / 255 for image in (one.target, *one.poisons)]) for one in shown
    ]
    return grid.draw(
        rows, f"{attack}: each row a target, its class and the wanted one, and images made for it"
    )
