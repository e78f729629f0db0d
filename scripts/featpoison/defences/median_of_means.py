"""Median of means: each step of SGD goes along the median, entry by entry, of the mean gradients of some
blocks of its batch (Yin et al., 2018, https://arxiv.org/abs/1803.01498, Algorithm 1, option I; there a block
is a machine).

Fewer than half of the blocks cannot move the median far. A batch has a poison in every block where poisons
are more than one in so many rows as a block has, so that this is a test of the promise and no certificate.
"""

from collections.abc import Iterator
from functools import partial

import torch
from pydantic import Field, field_validator
from torch import Tensor

from featpoison import softmax
from featpoison.common.settings import Settings
from featpoison.defences.defence import Defence, Defended, Defending
from featpoison.heads import SummedGradient
from featpoison.softmax import Head
from featpoison.solvers.training_sets import TrainingSets


class MedianOfMeans(Settings):
    """Settings of the median of means."""

    blocks: int = Field(9, ge=3)
    """Blocks of a batch, an odd number. Rows that do not fill a block are left out of their step."""

    @field_validator("blocks")
    @classmethod
    def _odd(cls, blocks: int) -> int:
        if blocks % 2 == 0:
            raise ValueError(f"'blocks' is {blocks}, expected an odd number, which has a middle")
        return blocks


class BlockMedians:
    """The gradients of batches, each the median of block means times the batch's size."""

    def __init__(self, sets: TrainingSets, blocks: int) -> None:
        """For one training set (K = 1) and V heads."""
        self.features = torch.cat([sets.clean, sets.poisons[0]])
        self.labels = torch.cat([sets.clean_labels, sets.poison_labels[0]])
        self.blocks = blocks

    def batches(self, order: Tensor, size: int) -> Iterator[tuple[int, SummedGradient]]:
        """As the batches of `heads.train_sgd`; `order` (V, N + n)."""
        for rows in order.split(size, -1):
            yield rows.shape[-1], partial(self._gradient, rows)

    def _gradient(self, rows: Tensor, heads: Head) -> Tensor:
        """rows (V, b), heads (1, V, C, d) -> (1, V, C, d+1)."""
        blocks = min(self.blocks, rows.shape[-1])
        inside = rows.shape[-1] // blocks
        of_blocks = rows[:, : blocks * inside].unflatten(-1, (blocks, inside))  # (V, B, b/B)
        each = Head(heads.weight.unsqueeze(2), heads.bias.unsqueeze(2))  # (1, V, 1, C, d)
        sums = softmax.head_gradient(self.features[of_blocks], self.labels[of_blocks], each)
        return sums.median(2).values * (rows.shape[-1] / inside)


def run(given: Defending) -> Defended:
    """All rows, trained on along medians."""
    return Defended(gradients=partial(BlockMedians, blocks=given.settings.blocks))


DEFENCE = Defence(name="median-of-means", title="median of means", settings=MedianOfMeans, run=run)
