"""Bilinear resizing with antialiasing, as two matrix products.

torch's own resizing has no deterministic gradient on GPUs.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def resize(pixels: Tensor, side: int) -> Tensor:
    """(n, 3, h, w) -> (n, 3, side, side), linear in the pixels. The aspect ratio is not kept.

    The result is that of `F.interpolate(..., mode="bilinear", antialias=True, align_corners=False)` up to
    rounding: enlarging is plain bilinear interpolation, shrinking averages under a triangle as wide as the
    ratio of the sides. It has the type of the pixels, also under autocast. Images that have the side already
    come back unchanged.
    """
    height, width = pixels.shape[2:]
    if (height, width) == (side, side):
        return pixels
    with torch.autocast(pixels.device.type, enabled=False):
        return _weights(height, side, pixels) @ pixels @ _weights(width, side, pixels).T


@torch.no_grad()
def _weights(before: int, after: int, like: Tensor) -> Tensor:
    """The weights of the old rows in each new row, (after, before); they sum to 1.

    Type and device of `like`.
    """
    old = torch.eye(before, dtype=like.dtype, device=like.device)[None, None]
    return F.interpolate(old, size=(after, before), mode="bilinear", antialias=True, align_corners=False)[
        0, 0
    ]
