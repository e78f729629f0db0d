"""The downstream task: features and labels that linear heads are trained and tested on."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from featpoison import store


@dataclass(frozen=True)
class Task:
    """Features and labels of a downstream task: N rows to train on, m rows to test on, d features."""

    train: Tensor
    """Training features (N, d)."""
    train_labels: Tensor
    """Training labels (N,), integers below `classes`."""
    test: Tensor
    """Test features (m, d)."""
    test_labels: Tensor
    """Test labels (m,)."""
    classes: int
    """Number of classes."""


def read_task(features: Path) -> Task:
    """The task in a file of the stage `data/features/`: features float32 and labels int64, on the CPU.

    Raises FileNotFoundError or StoreError, naming the file, where it is missing or damaged.
    """
    arrays = {name: torch.from_numpy(array) for name, array in store.read(features).items()}
    classes = len(store.read_attributes(features)["classes"])
    return Task(**arrays, classes=classes)
