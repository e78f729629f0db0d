"""Figure 2: what gradient canceling in input space makes of clean images when nothing holds it back."""

import numpy as np
from matplotlib.figure import Figure

from featpoison.render import grid
from featpoison.results.cells import Cell


def stretch(images: np.ndarray) -> np.ndarray:
    """Each image (n, 3, h, w) mapped from its own range to [0, 1]; a constant image to 0."""
    low, high = images.min((1, 2, 3), keepdims=True), images.max((1, 2, 3), keepdims=True)
    return (images - low) / np.where(high > low, high - low, 1)


def note_of(images: np.ndarray, clean_largest: float, cells: list[Cell]) -> str:
    """What the display hides: how far the pixels leave the clean range; and what the poisons cost, from the
    result file."""
    amplified = np.abs(images).max((1, 2, 3)) / clean_largest
    outside = 100 * np.mean((images < 0) | (images > 1))
    drops = ", ".join(
        f"{cell.victim} {cell.drop:.2f} [{cell.drop_low:.2f}, {cell.drop_high:.2f}]" for cell in cells
    )
    return (
        f"largest pixel: {np.median(amplified):.3g} times the clean images' (median of {len(images)} "
        f"poisons, at most {amplified.max():.3g}); "
        f"{outside:.0f} % of the pixels lie outside [0, 1]\naccuracy drop in points at $\\epsilon_d$ = "
        f"{cells[0].eps_d:g}: {drops}"
    )


def draw(
    images: np.ndarray, clean: np.ndarray, clean_largest: float, cells: list[Cell], count: int
) -> Figure:
    """The first `count` base images, their poisons clipped to what a display can show, and the same poisons
    each in its own range."""
    rows = [
        ("clean", clean[:count]),
        ("GC-input,\nclipped", images[:count]),
        ("GC-input,\nown range", stretch(images[:count])),
    ]
    return grid.draw(rows, note_of(images, clean_largest, cells))
