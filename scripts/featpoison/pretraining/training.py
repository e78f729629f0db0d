"""What a pre-training is beyond SimCLR: on which part of the images, and after which epochs it is kept."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from featpoison.common.seeds import stream
from featpoison.common.settings import Settings
from featpoison.pretraining.simclr import SimCLR


class Subset(Settings):
    """A part of the training images, poisons among them, drawn at random and none twice."""

    images: PositiveInt
    """How many."""
    seed: NonNegativeInt = 0
    """Seed of the draw."""


class Training(SimCLR):
    """Settings of a pre-training that is more than SimCLR on all images."""

    subset: Subset | None = None
    """The part of the images that it sees; null: all."""
    # Not strict: in Python settings may hold a list.
    snapshots: Annotated[tuple[PositiveInt, ...], Field(strict=False)] = ()
    """The epochs, counted from 1, after which the encoder is kept beside the one at the end."""


def drawn(sets: Sequence[Tensor], subset: Subset | None) -> list[Tensor]:
    """The images uint8 (n, 3, ., .) of each set that belong to a subset of all sets together, in their order.

    All of them without a subset. A set may end up empty. Raises ValueError where there are fewer images than
    the subset has.
    """
    if subset is None:
        return list(sets)
    count = sum(map(len, sets))
    if subset.images > count:
        raise ValueError(f"'subset.images' is {subset.images}, expected at most the {count} that there are")
    order = torch.randperm(count, generator=stream(subset.seed, 0, device=torch.device("cpu")))
    chosen = torch.zeros(count, dtype=torch.bool)
    chosen[order[: subset.images]] = True
    return [images[own] for images, own in zip(sets, chosen.split([len(one) for one in sets]), strict=True)]
