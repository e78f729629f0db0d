"""One poisoned set as it is stored: what an attack made."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from featpoison import store
from featpoison.downstream.task import Task, check_features, check_labels


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


def read_poisons(path: Path, *, images: bool = True) -> Poisons:
    """The poisons in a file of the stage `data/poisons/`, on the CPU, with their `images` or without.

    Raises FileNotFoundError or StoreError, naming the file, where it is missing or damaged.
    """
    stored = store.read(path, *(name for name in store.lengths(path) if images or name != "images"))
    if missing := sorted({"features", "labels"} - stored.keys()):
        raise store.StoreError(
            f"{path}: no dataset {missing[0]!r}, expected poisons; it holds {sorted(stored)}"
        )
    check_features(path, "features", stored["features"])
    arrays = {name: torch.from_numpy(array) for name, array in stored.items()}
    return Poisons(
        features=arrays["features"],
        labels=arrays["labels"],
        images=arrays.get("images"),
        base=arrays.get("base"),
        distance=arrays.get("distance"),
    )


def check_fit(path: Path, poisons: Poisons, task: Task) -> None:
    """Raise StoreError, naming the file at `path`, where its poisons are not of a task: as many features,
    labels of its classes, base rows among its own."""
    wide, expected = poisons.features.shape[1], task.train.shape[1]
    if wide != expected:
        raise store.StoreError(f"{path}: {wide} features, expected {expected}, those of the clean rows")
    check_labels(path, "labels", poisons.labels.numpy(), task.classes)
    if len(poisons.labels) != len(poisons.features):
        text = f"{len(poisons.labels)} labels, expected one for each of {len(poisons.features)} poisons"
        raise store.StoreError(f"{path}: {text}")
    base = poisons.base
    if base is not None and len(base) and not 0 <= int(base.min()) <= int(base.max()) < len(task.train):
        found = f"'base' runs from {int(base.min())} to {int(base.max())}"
        raise store.StoreError(f"{path}: {found}, expected rows from 0 to {len(task.train) - 1}")


def with_base_labels(poisons: Poisons, task: Task) -> Poisons:
    """The same poisons with the labels of the clean training rows that they started from.

    Raises ValueError where it is not known which rows these are.
    """
    if poisons.base is None:
        raise ValueError("the poisons do not say their base rows, whose labels were asked for")
    return replace(poisons, labels=task.train_labels[poisons.base])
