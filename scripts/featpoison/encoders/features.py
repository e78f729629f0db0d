"""Features of many images: streamed through a frozen encoder in float32."""

import numpy as np
import torch
from torch import Tensor

from featpoison.encoders.encoder import Encoder
from featpoison.progress import Progress


def to_pixels(images: np.ndarray | Tensor) -> Tensor:
    """uint8 images to float32 in [0, 1]; float images unchanged."""
    images = torch.as_tensor(images)
    return images.float() / 255 if images.dtype == torch.uint8 else images


@torch.no_grad()
def extract(images: np.ndarray | Tensor, encoder: Encoder, *, batch_size: int = 250) -> Tensor:
    """f(images), float32 (n, d) on the CPU; `images` (n, 3, h, w), uint8 or float in [0, 1]. The encoder says on which device."""
    device = encoder.mean.device
    progress, parts = Progress(len(images), "images"), [torch.empty(0, encoder.dimension)]
    for start in range(0, len(images), batch_size):
        pixels = to_pixels(images[start : start + batch_size]).to(device).contiguous(memory_format=torch.channels_last)
        parts.append(encoder(pixels).float().cpu())
        progress.advance(len(pixels))
    return torch.cat(parts)
