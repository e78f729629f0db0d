"""Images as floats in [0, 1] and as 8-bit values, and the way from each to the other."""

import numpy as np
import torch
from torch import Tensor


def to_pixels(images: np.ndarray | Tensor) -> Tensor:
    """Images of any shape as a tensor of floats.

    Values uint8 become float32 in [0, 1], value / 255. Images that are floats already come back unchanged.
    """
    images = torch.as_tensor(images)
    return images.float() / 255 if images.dtype == torch.uint8 else images


def to_8bit(images: Tensor) -> Tensor:
    """Float images of any shape as uint8: cut off at 0 and 1, times 255, rounded to the nearest integer.

    A value exactly between two integers goes to the even one.
    """
    return _levels(images).to(torch.uint8)


def rounded_to_8bit(images: Tensor) -> Tensor:
    """The values that `to_8bit` keeps of float images of any shape, as floats in [0, 1] of the same type."""
    return _levels(images).div_(255)


def _levels(images: Tensor) -> Tensor:
    """Grey levels 0, 1, ..., 255, still as floats, in a new tensor."""
    return images.clamp(0, 1).mul_(255).round_()
