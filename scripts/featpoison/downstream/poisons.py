"""One poisoned set as it is stored: what an attack made."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from featpoison import store
from featpoison.downstream.task import Task


@dataclass(frozen=True)
class Poisons:
    """One poisoned set of n rows with d features. What an attack does not make is None."""

    features: Tensor
    """Poisoned features (n, d)."""
    labels: Tensor
    """Labels of the poisons (n,)."""
    images: Tensor | None = None
    """Of attacks that make images: the poisoned images (n, 3, h, w), pixels in [0, 1]."""
    base: Tensor | None = None
    """Rows of the clean training set that the poisons started from (n,)."""
    distance: Tensor | None = None
    """Of attacks with target features zeta: ||f(nu) - zeta||^2 for each image nu, (n,)."""


def read_poisons(path: Path) -> Poisons:
    """The poisons in a file of the stage `data/poisons/`, on the CPU.

    Raises FileNotFoundError or StoreError, naming the file, where it is missing or damaged.
    """
    arrays = {name: torch.from_numpy(array) for name, array in store.read(path).items()}
    return Poisons(
        features=arrays["features"],
        labels=arrays["labels"],
        images=arrays.get("images"),
        base=arrays.get("base"),
        distance=arrays.get("distance"),
    )


def with_base_labels(poisons: Poisons, task: Task) -> Poisons:
    """The same poisons with the labels of the clean training rows that they started from.

    Raises ValueError where it is not known which rows these are.
    """
    if poisons.base is None:
        raise ValueError("the poisons do not say their base rows, whose labels were asked for")
    return replace(poisons, labels=task.train_labels[poisons.base])
