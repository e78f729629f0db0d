"""The downstream task: features and labels that linear heads are trained and tested on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
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

    Raises FileNotFoundError or StoreError, naming the file, where it is missing or damaged, or holds anything
    else: another dataset, NaN, labels without a class, fewer than two classes.
    """
    arrays = store.read(features, "train", "train_labels", "test", "test_labels")
    classes = len(store.read_attributes(features).get("classes", ()))
    for part in ("train", "test"):
        check_features(features, part, arrays[part])
        check_labels(features, f"{part}_labels", arrays[f"{part}_labels"], classes)
        if len(arrays[part]) != len(arrays[f"{part}_labels"]) or not len(arrays[part]):
            found = f"{len(arrays[part])} rows of '{part}' and {len(arrays[f'{part}_labels'])} labels"
            raise store.StoreError(f"{features}: {found}, expected a label for each of at least one row")
    if classes < 2:
        found = "1 class" if classes == 1 else f"{classes} classes"
        raise store.StoreError(f"{features}: {found}, expected at least 2")
    if arrays["train"].shape[1] != arrays["test"].shape[1]:
        widths = f"{arrays['train'].shape[1]} and {arrays['test'].shape[1]} features"
        raise store.StoreError(f"{features}: {widths} to train and to test on, expected as many")
    return Task(**{name: torch.from_numpy(array) for name, array in arrays.items()}, classes=classes)


def check_features(path: Path, name: str, array: np.ndarray) -> None:
    """Raise StoreError, naming the file, unless an array is finite features float32 (n, d)."""
    if array.dtype != np.float32 or array.ndim != 2 or not array.shape[1]:
        raise store.StoreError(f"{path}: {name!r} is {array.dtype} {array.shape}, expected float32 (n, d)")
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise store.StoreError(f"{path}: {name!r} has NaN or infinity in row {row}, expected finite numbers")


def check_labels(path: Path, name: str, array: np.ndarray, classes: int) -> None:
    """Raise StoreError, naming the file, unless an array is labels int64 (n,) below the number of classes."""
    if array.dtype != np.int64 or array.ndim != 1:
        raise store.StoreError(f"{path}: {name!r} is {array.dtype} {array.shape}, expected int64 (n,)")
    if len(array) and not 0 <= array.min() <= array.max() < classes:
        found = f"{name!r} runs from {array.min()} to {array.max()}"
        raise store.StoreError(f"{path}: {found}, expected labels from 0 to {classes - 1}")
