"""Magnitude filter (paper, section 5.3.2, "feature matching-r"): drop images whose largest pixel exceeds every clean one."""

import torch
from torch import Tensor


def magnitudes(images: Tensor) -> Tensor:
    """L-infinity norm of each image (n, c, h, w), (n,)."""
    if not len(images):
        return images.new_zeros(0)
    return images.flatten(1).abs().amax(1)


def kept(poisons: Tensor, clean_largest: float) -> Tensor:
    """Rows (k,) of the poisons (n, c, h, w) whose magnitude is at most `clean_largest`, in order."""
    return torch.nonzero(magnitudes(poisons) <= clean_largest).squeeze(1)
