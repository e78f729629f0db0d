"""Multi-scale structural similarity (Wang, Simoncelli and Bovik, 2003).

The paper is https://ece.uwaterloo.ca/~z70wang/publications/msssim.html. At each of `levels` scales, with
local means m, variances v and covariance c under a Gaussian window, k1 = 0.01, k2 = 0.03, and pixels in [0,
1]:

    contrast and structure  cs = (2 c + k2^2) / (v_x + v_y + k2^2)
    luminance               l  = (2 m_x m_y + k1^2) / (m_x^2 + m_y^2 + k1^2)

Both are averaged over all windows that lie inside the image. Of each image and channel,

    MS-SSIM = mean(l cs at the coarsest scale)^w_levels * prod_{s < levels} mean(cs at scale s)^w_s,

and 0 where one of these means is negative.

It is written here because no library can train with it everywhere. pytorch-msssim refuses sides up to 16
(window - 1), whatever the number of scales. torchmetrics pads by reflection, which has no deterministic
gradient on GPUs. Both have NaN as the gradient where a mean is negative. Where pytorch-msssim works, it gives
the same values (a test).
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from featpoison.common.settings import Settings

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the five scales, finest first
K1, K2 = 0.01, 0.03
FLOOR = 1e-6
"""Smaller means count as this one: the gradient of their powers would be infinite at zero."""


class Similarity(Settings):
    """Scales and window of MS-SSIM."""

    levels: Annotated[int, Field(ge=1, le=len(WEIGHTS))] = 3
    """Number of scales, each half the side of the one before. The usual 5 need more than 160 px with the
    usual window; 3 fit into 32 px with window 7. With fewer than 5, the weights of the first ones are used,
    scaled to sum to 1."""
    window: PositiveInt = 7
    """Side of the Gaussian window in pixels (usually 11). An image at the coarsest scale must not be
    smaller."""
    sigma: PositiveFloat = 1.5
    """Standard deviation of the Gaussian window in pixels."""


def ms_ssim(first: Tensor, second: Tensor, settings: Similarity) -> Tensor:
    """The MS-SSIM of each pair of images, mean over channels, (n,), at most 1.

    `first` and `second`: (n, channels, h, w) in [0, 1], of the same floating-point type. Raises ValueError
    for images that are smaller than the window at the coarsest scale.
    """
    needed = (settings.window - 1) * 2 ** (settings.levels - 1) + 1
    if min(first.shape[2:]) < needed:
        raise ValueError(
            f"MS-SSIM: images of {tuple(first.shape[2:])} px, "
            f"expected at least {needed} for {settings.levels} levels, window {settings.window}"
        )
    means = []
    for level in range(settings.levels):
        if level:
            padding = [side % 2 for side in first.shape[2:]]
            first, second = (F.avg_pool2d(images, 2, padding=padding) for images in (first, second))
        luminance, contrast = _terms(first, second, settings)
        means.append((luminance * contrast if level == settings.levels - 1 else contrast).mean((2, 3)))
    stacked = torch.stack(means)  # (levels, n, channels)
    weights = torch.tensor(WEIGHTS[: settings.levels], dtype=stacked.dtype).view(-1, 1, 1)
    weights = weights.to(stacked.device, non_blocking=True)
    product = (stacked.clamp(min=FLOOR) ** (weights / weights.sum())).prod(0)
    return (product * (stacked > 0).all(0)).mean(1)


def _terms(first: Tensor, second: Tensor, settings: Similarity) -> tuple[Tensor, Tensor]:
    """l and cs of each window inside the image, (n, channels, h - window + 1, w - window + 1) each."""
    rows, columns = (_blur(side, settings, first) for side in first.shape[2:])
    stack = torch.stack([first, second, first * first, second * second, first * second])
    mx, my, xx, yy, xy = (rows @ stack @ columns.T).unbind()
    luminance = (2 * mx * my + K1**2) / (mx * mx + my * my + K1**2)
    contrast = (2 * (xy - mx * my) + K2**2) / ((xx - mx * mx) + (yy - my * my) + K2**2)
    return luminance, contrast


def _blur(side: int, settings: Similarity, like: Tensor) -> Tensor:
    """The Gaussian window at each of its places along a side, as a matrix (side - window + 1, side).

    On small images, products with this matrix are faster than a convolution.
    """
    places = side - settings.window + 1
    offsets = torch.arange(side, device=like.device) - torch.arange(places, device=like.device)[:, None]
    centred = (offsets - (settings.window - 1) / 2).to(like.dtype)
    inside = (offsets >= 0) & (offsets < settings.window)
    weights = torch.exp(-centred.square() / (2 * settings.sigma**2)) * inside
    return weights / weights.sum(1, keepdim=True)
