"""What victims are trained on: clean rows and poisons."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class TrainingSets:
    """K training sets of N + n rows with d features.

    All have the same N clean rows, and each of them has its own n poisons.
    """

    clean: Tensor
    """Clean features (N, d)."""
    clean_labels: Tensor
    """Their labels (N,)."""
    poisons: Tensor
    """Poisoned features (K, n, d)."""
    poison_labels: Tensor
    """Their labels (K, n)."""

    @classmethod
    def of_clean(cls, clean: Tensor, labels: Tensor) -> Self:
        """One training set (K = 1) of clean features (N, d) with labels (N,), without poisons (n = 0)."""
        return cls(clean, labels, clean.new_empty(1, 0, clean.shape[1]), labels.new_empty(1, 0))

    @property
    def rows(self) -> int:
        """Rows of each training set, N + n."""
        return len(self.clean) + self.poisons.shape[1]

    def split(self, sizes: list[int]) -> list["TrainingSets"]:
        """The K training sets in groups of `sizes`, in order. They are views: nothing is copied."""
        return [
            TrainingSets(self.clean, self.clean_labels, poisons, labels)
            for poisons, labels in zip(
                self.poisons.split(sizes), self.poison_labels.split(sizes), strict=True
            )
        ]

    def each(self) -> list["TrainingSets"]:
        """The K training sets, each by itself (K = 1)."""
        return self.split([1] * len(self.poisons))

    def to(self, device: torch.device, dtype: torch.dtype) -> "TrainingSets":
        """The same sets on `device`, features as `dtype`. Tensors that are so already are not copied."""
        return TrainingSets(
            self.clean.to(device, dtype),
            self.clean_labels.to(device),
            self.poisons.to(device, dtype),
            self.poison_labels.to(device),
        )
