"""Measures of poisons: magnitudes, likeness of images."""

import torch
from pytorch_msssim import ssim
from torch import Tensor

AT_ONCE = 250
"""Images that are compared at once: in float64, many are larger than all that is kept of them."""


def magnitude_ratio(poisons: Tensor, clean: Tensor) -> float:
    """Mean Euclidean norm of the poisoned rows (n, d) over that of the clean rows (N, d)."""
    poisoned_norm, clean_norm = (rows.double().norm(dim=1).mean() for rows in (poisons, clean))
    return (poisoned_norm / clean_norm).item()


def pixel_ratio(poisons: Tensor, clean_largest: float) -> float:
    """Mean over the poisons (n, c, h, w) of the largest absolute pixel, over `clean_largest`.

    `clean_largest` is the largest of all clean pixels.
    """
    smallest, largest = poisons.flatten(1).aminmax(dim=1)  # (n,) each
    return (torch.maximum(largest, -smallest).double().mean() / clean_largest).item()


def psnr(images: Tensor, base: Tensor) -> float:
    """Mean peak signal-to-noise ratio of `images` to `base`, both (n, c, h, w) with peak 1, in decibels.

    The ratio of an image is 10 log10(1 / mean squared error), cut off at 100 dB, which equal images have.
    """
    parts = zip(images.split(AT_ONCE), base.split(AT_ONCE), strict=True)
    errors = torch.cat([(one.double() - other.double()).square().flatten(1).mean(1) for one, other in parts])
    ratios = -10 * errors.clamp(min=1e-10).log10()
    return ratios.mean().item()


def structural_similarity(images: Tensor, base: Tensor) -> float:
    """Mean SSIM of `images` to `base`, both (n, c, h, w) in [0, 1]. Equal images have 1.

    SSIM is that of Wang et al. (2004): a Gaussian window of 11 px with standard deviation 1.5, k1 = 0.01, k2
    = 0.03. Along a side of less than 11 px, pytorch-msssim warns and does not average.
    """
    found = torch.ones(len(images), dtype=torch.float64)
    for rows in (images != base).flatten(1).any(1).nonzero().flatten().split(AT_ONCE):
        pair = images[rows].double(), base[rows].double()
        found[rows] = ssim(*pair, data_range=1.0, size_average=False)
    return found.mean().item()
