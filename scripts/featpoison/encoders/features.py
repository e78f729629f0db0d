"""Features of many images from a frozen encoder, and gradients taken back from features to pixels."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from featpoison.common.pixels import to_pixels
from featpoison.common.progress import Progress
from featpoison.encoders.encoder import Encoder
from featpoison.store import Rows

BATCH_SIZE = 250


@torch.no_grad()
def extract(
    images: np.ndarray | Tensor | Rows,
    encoder: Encoder,
    *,
    batch_size: int = BATCH_SIZE,
    rows: slice | None = None,
) -> Tensor:
    """The features f(images), float32 (n, d) on the CPU, computed batch by batch on the device of `encoder`.

    `images` (n, 3, h, w), uint8 or float in [0, 1], may be larger than memory where they are `Rows`. `rows`
    chooses some of them; the result then has as many rows. It has the bits of the whole result where `rows`
    begins and ends where a batch does.
    """
    device = encoder.mean.device
    first, last = (rows.start, rows.stop) if rows else (0, len(images))
    progress = Progress(last - first, "images")
    # Memory for all results at once: results that are kept in between keep the batches' memory from reuse.
    features = torch.empty(last - first, encoder.dimension)
    for start in range(first, last, batch_size):
        stop = min(start + batch_size, last)
        pixels = to_pixels(images[start:stop]).to(device, non_blocking=True)
        features[start - first : stop - first] = encoder(pixels.contiguous(memory_format=torch.channels_last))
        progress.advance(len(pixels))
    return features


def pull_back(
    pixels: Tensor, cotangent: Callable[[Tensor], Tensor], encoder: Encoder, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Features z = f(pixels) (n, d), and the gradient J^T v (n, 3, h, w), J the Jacobian of f at `pixels`.

    `pixels` (n, 3, h, w) are in [0, 1], and v = cotangent(z) (n, d) is the gradient in the features. This
    takes one pass forward and one back, and nothing is computed for weights. The encoder computes in `dtype`;
    results have the type of `pixels`.
    """
    leaf = pixels.detach().contiguous(memory_format=torch.channels_last).requires_grad_(True)
    with torch.autocast(pixels.device.type, dtype, enabled=dtype not in (torch.float32, torch.float64)):
        features = encoder(leaf)
    z = features.detach().to(pixels.dtype)
    (gradient,) = torch.autograd.grad(features, leaf, cotangent(z).to(features.dtype))
    return z, gradient
