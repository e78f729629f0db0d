"""Figure 8: clean images, what EMN with a frozen encoder makes of them, and the perturbations amplified."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from featpoison import store
from featpoison.datasets.stored import training_images
from featpoison.render import grid


@dataclass(frozen=True)
class Perturbed:
    """The images that are shown of one scenario: clean (k, 3, h, w) in [0, 1], and their noise."""

    scenario: str
    clean: np.ndarray
    noise: np.ndarray


def read_perturbed(scenario: str, images: Path, noise: Path, count: int) -> Perturbed:
    """The first `count` images of a noise file."""
    arrays = store.read(noise, "noise", "base", rows=slice(0, count))
    return Perturbed(scenario, training_images(images, arrays["base"]), arrays["noise"])


def draw(shown: list[Perturbed], amplification: float) -> Figure:
    """Clean images (once where all scenarios share them), perturbed images by scenario, then grey plus
    `amplification` times the noise."""
    rows: list[tuple[str, np.ndarray]] = []
    for part in shown:
        if part is shown[0] or not np.array_equal(part.clean, shown[0].clean):
            rows.append(("clean", part.clean))
        rows.append((part.scenario, part.clean + part.noise))
    rows += [
        (f"{part.scenario}, noise x {amplification:g}", 0.5 + amplification * part.noise) for part in shown
    ]
    largest = ", ".join(f"{255 * np.abs(part.noise).max():.1f}" for part in shown)
    return grid.draw(
        rows,
        f"grey: unchanged; the noise is amplified {amplification:g} times, its largest entries are "
        f"{largest} of 255 levels",
    )
