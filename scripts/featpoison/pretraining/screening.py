"""Screening of images before pre-training: what crowds together in feature space is left out.

Images that were made for one target share half of their pixels, so they are near-duplicates of each other,
while ordinary images are not. Whoever collects images does not know which are poisons, so all of them are
treated alike: each is given its *density*, the mean cosine of its feature with those of its nearest
neighbours among all other images, and the share of images with the highest densities is left out. Neither the
encoder of this project's demo nor any other has to be clean; it has only to tell images apart.

Poisons of another size than the others' would be found by their size alone. This screening does not use that.
"""

from collections.abc import Sequence

import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from torch.nn.functional import normalize

from featpoison.common.settings import Settings
from featpoison.encoders.encoder import Encoder
from featpoison.encoders.features import BATCH_SIZE
from featpoison.pretraining.augment import crop_and_flip

BLOCK = 1024  # rows whose cosines with all others are held at once


class Screening(Settings):
    """Settings of a screening. Values are this project's choice."""

    neighbours: PositiveInt = 10
    """Nearest neighbours whose cosines are averaged."""
    share: float = Field(default=0.2, gt=0, lt=1)
    """Share of all images, poisons among them, that is left out."""


def densities(features: Tensor, neighbours: int) -> Tensor:
    """The mean cosine of each of n features (n, d) with its nearest ones, float32 (n,) on their device.

    Raises ValueError where there are not more features than `neighbours`.
    """
    n = len(features)
    if n <= neighbours:
        raise ValueError(f"'neighbours' is {neighbours}, expected fewer than the {n} images")
    unit = normalize(features.float(), dim=1)
    found = torch.empty(n, device=features.device)
    for start in range(0, n, BLOCK):
        cosines = unit[start : start + BLOCK] @ unit.T
        rows = torch.arange(len(cosines), device=features.device)
        cosines[rows, start + rows] = -torch.inf
        found[start : start + BLOCK] = cosines.topk(neighbours, dim=1).values.mean(1)
    return found


def sparsest(density: Tensor, share: float) -> Tensor:
    """Which of n images are kept, boolean (n,): all but the round(share n) densest.

    Of equally dense ones the later are left out.
    """
    count = round(share * len(density))
    kept = torch.ones(len(density), dtype=torch.bool)
    order = torch.argsort(density.cpu(), stable=True)
    kept[order[len(density) - count :]] = False
    return kept


@torch.no_grad()
def features_of(sets: Sequence[Tensor], encoder: Encoder) -> Tensor:
    """The features (n, d) of all images, on the encoder's device.

    `sets` are images uint8 (., 3, ., .), each set of one size; all are squeezed to that of the first set.
    """
    device, size = encoder.mean.device, (sets[0].shape[2], sets[0].shape[3])
    found = []
    for images in sets:
        for start in range(0, len(images), BATCH_SIZE):
            pixels = images[start : start + BATCH_SIZE].to(device).float().div_(255)
            zero = torch.zeros(len(pixels), device=device)
            whole = {"top": zero, "left": zero, "height": zero + 1, "width": zero + 1, "flip": zero.bool()}
            found.append(encoder(crop_and_flip(pixels, size, **whole)))
    return torch.cat(found)
