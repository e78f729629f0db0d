"""GC-input, gradient canceling in input space (Lu et al., 2023; paper, section 3.3, eq. 9): images whose
features cancel the gradient at a target head.

L = 1/2 ||R||^2, R = G + sum over batches of their head gradients. In each batch's turn its old contribution
leaves R and its new one enters, so R is never a batch's own guess of the clean gradient. After a pass R is
exact for the images that the pass found.
"""

from typing import Any

import torch
from torch import Tensor

from featpoison import softmax
from featpoison.attacks.attack import Attack, Made, Run
from featpoison.attacks.image_poisons import move_images, random_start
from featpoison.attacks.input_space import InputSpace
from featpoison.attacks.operations import Sizes, Work, canceling_step, input_space_work
from featpoison.downstream.stored_heads import read_target
from featpoison.downstream.task import read_task
from featpoison.softmax import Head


class GCInput(InputSpace):
    """Settings of GC-input."""

    threshold: float = 1.0
    """Stop at an objective below this, on sums (paper: 1). The objective is L = 1/2 ||R||^2 with R over
    weights and bias, and the penalty where constrained; the public code of gradient canceling stops at
    ||R||^2 < 1 on the weights alone, without the bias."""


class Canceling:
    """The objective L with its running residual."""

    comparable = True

    def __init__(
        self, features: Tensor, labels: Tensor, target: Head, clean_gradient: Tensor, batch_size: int
    ) -> None:
        """`features` (n, d) of the base images, their `labels` (n,), `clean_gradient` (C, d+1) at
        `target`."""
        self.labels, self.target, self.batch_size = labels, target, batch_size
        self.clean_gradient = clean_gradient
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


def run(given: Run) -> Made:
    """Images, encoder, feature cache, target head -> poison images."""
    settings: GCInput = given.settings
    task = read_task(given.files["features"])
    target, G = read_target(given.files["target"], given.seed)
    start = random_start(task, given)
    place = given.device
    objective = Canceling(start.features, start.labels, target.to(place), G.to(place), settings.batch_size)
    return move_images(given, start, objective, threshold=settings.threshold)


def work(sizes: Sizes, settings: Any, n: float) -> Work:
    """All epochs, with one canceling step each."""
    step = canceling_step(n, sizes.features, sizes.classes)
    return input_space_work(sizes, n, settings.epochs, step)


def memory(sizes: Sizes, settings: Any, n: float) -> float:
    """The features; images, their features, moments and gradients."""
    return sizes.held(n, features=2, poisons=8, poisoned=8)


ATTACK = Attack(
    name="gc-input",
    title="GC-input",
    makes="images",
    settings=GCInput,
    needs=("images", "encoder", "features", "target"),
    run=run,
    work=work,
    memory=memory,
    tint="input",
    sets=("free", "valid", "constrained"),
)
