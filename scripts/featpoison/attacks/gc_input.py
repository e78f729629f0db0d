"""Gradient canceling in input space (Lu et al., 2023; paper, section 3.3, eq. 9): images whose features cancel the gradient at a target head.

L = 1/2 ||R||^2, R = G + sum over batches of their head gradients. In each batch's turn its old contribution leaves R and its new one
enters, so R is never a batch's own guess of the clean gradient. After a pass R is exact for the images that the pass found.
"""

import torch
from torch import Tensor

from featpoison import softmax
from featpoison.attacks.input_space import InputSpace
from featpoison.softmax import Head


class GCInput(InputSpace):
    """Settings of GC-input."""

    threshold: float = 1.0
    """Stop at an objective below this, on sums (paper: 1)."""


class Canceling:
    """The objective L with its running residual."""

    comparable = True

    def __init__(self, features: Tensor, labels: Tensor, target: Head, clean_gradient: Tensor, batch_size: int) -> None:
        """`features` (n, d) of the base images, their `labels` (n,), `clean_gradient` (C, d+1) at `target`."""
        self.labels, self.target, self.clean_gradient, self.batch_size = labels, target, clean_gradient, batch_size
        parts = zip(features.split(batch_size), labels.split(batch_size), strict=True)
        self.own = torch.stack([softmax.head_gradient(X, y, target) for X, y in parts])  # (batches, C, d+1)

    @property
    def residual(self) -> Tensor:
        """R (C, d+1)."""
        return self.clean_gradient + self.own.sum(0)

    def gradient(self, block: slice, features: Tensor) -> Tensor:
        """dL/dz of the batch's rows."""
        labels = self.labels[block]
        self.own[block.start // self.batch_size] = softmax.head_gradient(features, labels, self.target)
        return softmax.feature_gradient(features, labels, self.target, self.residual)

    def value(self) -> float:
        """L."""
        return 0.5 * self.residual.double().square().sum().item()

    def state(self) -> dict[str, Tensor]:
        """The contributions of the batches."""
        return {"own": self.own}

    def load(self, state: dict[str, Tensor]) -> None:
        """Contributions from `state`."""
        self.own = state["own"].to(self.own)
