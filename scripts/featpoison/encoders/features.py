"""Features of many images, streamed through a frozen encoder in float32; and gradients pushed back from features to pixels."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from featpoison.common.progress import Progress
from featpoison.encoders.encoder import Encoder
from featpoison.store import Rows

BATCH_SIZE = 250


def to_pixels(images: np.ndarray | Tensor) -> Tensor:
    """uint8 images to float32 in [0, 1]; float images unchanged."""
    images = torch.as_tensor(images)
    return images.float() / 255 if images.dtype == torch.uint8 else images


@torch.no_grad()
def extract(images: np.ndarray | Tensor | Rows, encoder: Encoder, *, batch_size: int = BATCH_SIZE, rows: slice | None = None) -> Tensor:
    """f(images), float32 (n, d) on the CPU; `images` (n, 3, h, w), uint8 or float in [0, 1], a batch looked at after the other.

    Only those of `rows` where it is given: the bits are those of the whole where it begins and ends where a batch does. The encoder says
    on which device.
    """
    device = encoder.mean.device
    first, last = (rows.start, rows.stop) if rows else (0, len(images))
    progress = Progress(last - first, "images")
    features = torch.empty(last - first, encoder.dimension)  # at once: results kept between batches keep the batches' memory from being used again
    for start in range(first, last, batch_size):
        pixels = to_pixels(images[start : min(start + batch_size, last)]).to(device).contiguous(memory_format=torch.channels_last)
        features[start - first : start - first + len(pixels)] = encoder(pixels)
        progress.advance(len(pixels))
    return features


def pull_back(pixels: Tensor, cotangent: Callable[[Tensor], Tensor], encoder: Encoder, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Features z = f(pixels) (n, d), and J^T v (n, 3, h, w) for v = cotangent(z) (n, d), J the Jacobian of f: one pass forward, one back.

    Nothing is computed for weights. The encoder computes in `dtype`; what comes in and goes out has the pixels' own.
    """
    leaf = pixels.detach().contiguous(memory_format=torch.channels_last).requires_grad_(True)
    with torch.autocast(pixels.device.type, dtype, enabled=dtype not in (torch.float32, torch.float64)):
        features = encoder(leaf)
    z = features.detach().to(pixels.dtype)
    (gradient,) = torch.autograd.grad(features, leaf, cotangent(z).to(features.dtype))
    return z, gradient
