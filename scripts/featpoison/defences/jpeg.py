"""JPEG: images are compressed and read again before the encoder sees them (Guo et al., 2018,
https://arxiv.org/abs/1711.00117, section 4, JPEG compression)."""

import io
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor

from featpoison.common.pixels import to_8bit, to_pixels
from featpoison.common.settings import Settings
from featpoison.defences.defence import Defence, Defended, Defending, Encode
from featpoison.defences.image_transformation import seen_again


class Jpeg(Settings):
    """Settings of the compression."""

    quality: int = Field(75, ge=1, le=100)
    """Of JPEG, from 1 to 100."""


def compressed(pixels: Tensor, quality: int) -> Tensor:
    """Pixels (b, 3, h, w) in [0, 1] as they come back from JPEG files, float32 on the CPU."""
    images = to_8bit(pixels).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    found = np.stack([_read_again(one, quality) for one in images])
    return to_pixels(torch.from_numpy(found).permute(0, 3, 1, 2))


def _read_again(image: np.ndarray, quality: int) -> np.ndarray:
    """uint8 (h, w, 3) -> the same shape."""
    with io.BytesIO() as file:
        Image.fromarray(image).save(file, "jpeg", quality=quality)
        return np.asarray(Image.open(file))


def transform(pixels: Tensor, encoder: Encode, settings: Any) -> Tensor:
    """Pixels (b, 3, h, w) in [0, 1] -> features (b, d)."""
    return encoder(compressed(pixels, settings.quality).to(pixels))


def run(given: Defending) -> Defended:
    """All rows, seen after compression."""
    return seen_again(given, DEFENCE)


DEFENCE = Defence(
    name="jpeg",
    title="JPEG",
    settings=Jpeg,
    run=run,
    needs=("encoder", "transformed"),
    transform=transform,
)
