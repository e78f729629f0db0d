"""Crop and average: an image's feature is the mean over its crops (Guo et al., 2018,
https://arxiv.org/abs/1711.00117, section 4, image cropping; there predictions are averaged, here features).
"""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from featpoison.common.settings import Settings
from featpoison.defences.defence import Defence, Defended, Defending, Encode
from featpoison.defences.image_transformation import seen_again


class CropAverage(Settings):
    """Settings of the crops."""

    share: float = Field(0.875, gt=0, le=1)
    """Side of a crop, in sides of the image. Four lie in the corners and one in the middle."""


def crops(pixels: Tensor, share: float) -> Tensor:
    """The five crops of images (b, 3, h, w), enlarged to their size again: (5, b, 3, h, w)."""
    from torchvision.transforms.functional import (
        five_crop,
        resize,
    )  # seconds, for whoever only lists defences

    size = list(pixels.shape[-2:])
    inside = [max(1, round(share * side)) for side in size]
    return torch.stack([resize(one, size, antialias=True) for one in five_crop(pixels, inside)])


def transform(pixels: Tensor, encoder: Encode, settings: Any) -> Tensor:
    """Pixels (b, 3, h, w) in [0, 1] -> features (b, d), the mean over the crops."""
    return torch.stack([encoder(one) for one in crops(pixels, settings.share)]).mean(0)


def run(given: Defending) -> Defended:
    """All rows, seen by their crops."""
    return seen_again(given, DEFENCE)


DEFENCE = Defence(
    name="crop-average",
    title="mean over crops",
    settings=CropAverage,
    run=run,
    needs=("encoder", "transformed"),
    transform=transform,
)
