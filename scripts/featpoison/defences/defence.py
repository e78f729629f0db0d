"""What a defence says of itself: the part of the system that stands between a training set and victims.

All defences are of one kind: a function from what a defender is given (`Defending`) to what victims are
trained on, and how (`Defended`). It may keep some rows of the training set, change features of training and
test rows, change the training, or do several of these. What it leaves alone it leaves out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from featpoison.common.settings import Settings
from featpoison.downstream.poisons import Poisons
from featpoison.downstream.task import Task
from featpoison.downstream.victims import Victims
from featpoison.heads import BatchGradients
from featpoison.solvers.training_sets import TrainingSets

Encode = Callable[[Tensor], Tensor]
"""An encoder: pixels (b, 3, h, w) in [0, 1] to features (b, d)."""
Need = Literal["images", "encoder", "transformed"]
"""A file that a defence reads beside features and poisons: the clean images, the encoder, the features of the
clean images as the defence transforms them."""
HELP: dict[Need, str] = {
    "images": "clean images",
    "encoder": "encoder",
    "transformed": "features of the clean images as the defence transforms them",
}
"""For the command lines of the programs that run defences."""


@dataclass(frozen=True)
class Defending:
    """What a program hands to a defence: N clean rows and n poisons with d features, of C classes."""

    settings: Any
    """Of the defence's own class."""
    task: Task
    """The clean training rows, and the test rows."""
    poisons: Poisons
    """What an attacker added; with n = 0, nothing."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """By need."""
    victims: Victims = field(default_factory=Victims)
    """How heads are trained without a defence."""
    seed: int = 0
    """Poison seed, for what a defence leaves to chance."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """Where a defence may compute. Results may be on any device."""

    @cached_property
    def features(self) -> Tensor:
        """The training set as the defender sees it, (N + n, d). The poisons come last, which only the oracle
        filter may use, and a defence that trusts its clean rows."""
        return torch.cat([self.task.train, self.poisons.features])

    @cached_property
    def labels(self) -> Tensor:
        """Of the training set, (N + n,)."""
        return torch.cat([self.task.train_labels, self.poisons.labels])


@dataclass(frozen=True)
class Defended:
    """What victims are trained on, and how. None: as without the defence."""

    rows: Tensor | None = None
    """Rows of the training set that are kept (k,), ascending."""
    train: Tensor | None = None
    """Features of all rows of the training set, the removed ones too, (N + n, d')."""
    test: Tensor | None = None
    """Features of the test rows (m, d')."""
    victims: Victims | None = None
    """Settings of the training."""
    gradients: Callable[[TrainingSets], BatchGradients] | None = None
    """The gradients that SGD steps along. With these there is no objective to minimise, and so no converged
    victim."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the defence says of itself, for the file."""


@dataclass(frozen=True)
class Defence:
    """A defence."""

    name: str
    title: str
    """As tables show it."""
    settings: type[Settings]
    run: Callable[[Defending], Defended]
    needs: tuple[Need, ...] = ()
    transform: Callable[[Tensor, Encode, Any], Tensor] | None = None
    """Of a defence that transforms images: pixels (b, 3, h, w) in [0, 1] to the features (b, d) that its
    settings, the last argument, make of them. It needs `encoder` and `transformed`."""
    poisons_alone: bool = False
    """Whether poisons are all that it removes, because it compares them with clean rows that it trusts, and
    whether it changes nothing else. Rows of the ordinary tables can have such a defence."""

    @property
    def of_images(self) -> bool:
        """Whether it looks at images, so that attacks on features have nothing to show it."""
        return bool(self.needs)

    @property
    def key(self) -> str:
        """Key of the configuration's `defences`."""
        return self.name.replace("-", "_")
