"""Figure 10: what the images of a data set look like, a row a class."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from featpoison.datasets.stored import training_images
from featpoison.render import grid

MOST_ROWS = 10


def first_of(labels: np.ndarray, value: int, count: int) -> np.ndarray:
    """The first `count` rows with label `value`, as many as there are."""
    return np.flatnonzero(labels == value)[:count]


def draw(images: Path, rows: list[tuple[str, np.ndarray]], total: int) -> Figure:
    """The training images of each (class, rows); at most `MOST_ROWS` classes, `total` the size of the
    training set."""
    shown = [(name, training_images(images, chosen)) for name, chosen in rows[:MOST_ROWS] if len(chosen)]
    height, width = shown[0][1].shape[2:]
    return grid.draw(
        shown,
        f"{len(shown)} of {len(rows)} classes, the first of {total:,} training images, {width} x {height} px",
    )
