"""Magnitude filter (paper, section 5.3.2): drop images whose largest pixel exceeds every clean one."""

import torch
from torch import Tensor

from featpoison.common.settings import Settings
from featpoison.datasets.stored import largest_pixel
from featpoison.defences.defence import Defence, Defended, Defending


class MagnitudeFilter(Settings):
    """The filter has nothing to set: the clean training images say what is too large."""


def magnitudes(images: Tensor) -> Tensor:
    """L-infinity norm of each image (n, c, h, w), (n,)."""
    return images.flatten(1).abs().amax(1)


def kept(poisons: Tensor, clean_largest: float) -> Tensor:
    """Rows (k,) of the poisons (n, c, h, w) whose magnitude is at most `clean_largest`, in order."""
    return torch.nonzero(magnitudes(poisons) <= clean_largest).squeeze(1)


def run(given: Defending) -> Defended:
    """All clean rows, and the poisons within the range of the clean training images."""
    largest, clean = largest_pixel(given.files["images"]), len(given.task.train)
    images = given.poisons.images
    passed = torch.arange(0) if images is None else kept(images, largest)
    return Defended(rows=torch.cat([torch.arange(clean), clean + passed]), facts={"clean_largest": largest})


DEFENCE = Defence(
    name="magnitude-filter",
    title="magnitude filter",
    settings=MagnitudeFilter,
    run=run,
    needs=("images",),
    poisons_alone=True,
)
