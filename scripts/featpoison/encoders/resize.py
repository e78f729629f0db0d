"""Bilinear resize with antialiasing as two matrix products: torch's own has no deterministic gradient on GPUs."""

import torch
import torch.nn.functional as F
from torch import Tensor


def resize(pixels: Tensor, side: int) -> Tensor:
    """(n, 3, h, w) -> (n, 3, side, side), linear in the pixels; the aspect ratio is not kept.

    The same as `F.interpolate(..., mode="bilinear", antialias=True, align_corners=False)` up to rounding: enlarging is plain bilinear, shrinking
    averages with a triangle as wide as the ratio. In the pixels' type also under autocast.
    """
    height, width = pixels.shape[2:]
    if (height, width) == (side, side):
        return pixels
    with torch.autocast(pixels.device.type, enabled=False):
        return _weights(height, side, pixels) @ pixels @ _weights(width, side, pixels).T


@torch.no_grad()
def _weights(before: int, after: int, like: Tensor) -> Tensor:
    """(after, before): what each new row takes of the old ones, rows sum to 1."""
    old = torch.eye(before, dtype=like.dtype, device=like.device)[None, None]
    return F.interpolate(old, size=(after, before), mode="bilinear", antialias=True, align_corners=False)[0, 0]
