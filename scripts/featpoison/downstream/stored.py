"""What the files of each stage hold, read into the library's types: the one place that knows dataset names."""

from pathlib import Path

import torch
from torch import Tensor

from featpoison import store
from featpoison.downstream.victims import Downstream, Poisons
from featpoison.softmax import Head


def read_task(features: Path) -> Downstream:
    """The downstream task of a feature cache."""
    arrays = {name: torch.from_numpy(array) for name, array in store.read(features).items()}
    classes = len(store.read_attributes(features)["classes"])
    return Downstream(**arrays, classes=classes)


def read_target(path: Path) -> tuple[Head, Tensor]:
    """A target head, float32, and the clean gradient (C, d+1) at it."""
    arrays = store.read(path, "omega", "clean_gradient")
    return Head.from_omega(torch.from_numpy(arrays["omega"])), torch.from_numpy(arrays["clean_gradient"])


def read_clean_head(path: Path, seed_index: int = 0) -> Head:
    """The clean sgd100 head of a victim seed's position."""
    return Head.from_omega(torch.from_numpy(store.read(path, "sgd100_omega")["sgd100_omega"][0, seed_index]))


def read_base(path: Path) -> Tensor:
    """Which clean training rows the poisons of a file start from, (n,)."""
    return torch.from_numpy(store.read(path, "base")["base"])


def read_poisons(path: Path) -> Poisons:
    """The poisons in a file."""
    arrays = {name: torch.from_numpy(array) for name, array in store.read(path).items()}
    return Poisons(arrays["features"], arrays["labels"], *(arrays.get(name) for name in ("images", "base", "distance")))
