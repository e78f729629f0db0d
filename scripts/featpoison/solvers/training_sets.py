"""What victims are trained on: clean rows and poisons."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Mixture:
    """K training sets: clean rows (N, d), (N,) shared by all, and each its own poisons (K, n, d), (K, n)."""

    clean: Tensor
    clean_labels: Tensor
    poisons: Tensor
    poison_labels: Tensor

    @classmethod
    def of_clean(cls, clean: Tensor, labels: Tensor) -> Self:
        """One training set without poisons."""
        return cls(clean, labels, clean.new_empty(1, 0, clean.shape[1]), labels.new_empty(1, 0))

    @property
    def rows(self) -> int:
        """N + n."""
        return len(self.clean) + self.poisons.shape[1]

    def each(self) -> list["Mixture"]:
        """The K training sets, one by one."""
        pairs = zip(self.poisons, self.poison_labels, strict=True)
        return [Mixture(self.clean, self.clean_labels, poisons.unsqueeze(0), labels.unsqueeze(0)) for poisons, labels in pairs]

    def to(self, device: torch.device, dtype: torch.dtype) -> "Mixture":
        """On `device`, features as `dtype`."""
        return Mixture(
            self.clean.to(device, dtype),
            self.clean_labels.to(device),
            self.poisons.to(device, dtype),
            self.poison_labels.to(device),
        )
