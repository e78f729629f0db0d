"""Resizing with antialiasing, bilinear or bicubic, as two matrix products.

torch's own resizing has no deterministic gradient on GPUs.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from featpoison.encoders.architecture import Interpolation


def resize(pixels: Tensor, side: int, mode: Interpolation) -> Tensor:
    """(n, 3, h, w) -> (n, 3, side, side), linear in the pixels. The aspect ratio is not kept.

    The result is that of `F.interpolate(..., mode=mode, antialias=True, align_corners=False)` up to rounding:
    enlarging is plain interpolation, shrinking averages under the same kernel, as much wider as the sides
    shrink. Bicubic means Keys' kernel with a = -1/2, as in Pillow. It overshoots at edges, and the result may
    leave the range of the pixels by a little; it is not clipped, so that gradients pass everywhere. The
    result has the type of the pixels, also under autocast. Images that have the side already come back
    unchanged.
    """
    height, width = pixels.shape[2:]
    if (height, width) == (side, side):
        return pixels
    with torch.autocast(pixels.device.type, enabled=False):
        return _weights(height, side, mode, pixels) @ pixels @ _weights(width, side, mode, pixels).T


@torch.no_grad()
def _weights(before: int, after: int, mode: Interpolation, like: Tensor) -> Tensor:
    """The weights of the old rows in each new row, (after, before); they sum to 1.

    Type and device of `like`.
    """
    old = torch.eye(before, dtype=like.dtype, device=like.device)[None, None]
    return F.interpolate(old, size=(after, before), mode=mode, antialias=True, align_corners=False)[0, 0]
