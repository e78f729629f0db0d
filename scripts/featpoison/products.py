"""What the files of each stage hold, read into the library's types: the one place that knows dataset names."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from featpoison import store
from featpoison.evaluation import Downstream
from featpoison.heads import Mixture
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


def read_mixture(task: Downstream, poisons: list[Path]) -> Mixture:
    """The clean rows with each file's poisoned `features` and `labels`; ValueError naming the file where sizes differ."""
    parts = [store.read(path, "features", "labels") for path in poisons]
    for path, part in zip(poisons, parts, strict=True):
        if part["features"].shape != parts[0]["features"].shape:
            raise ValueError(f"{path}: poisoned features {part['features'].shape}, expected {parts[0]['features'].shape} as in {poisons[0]}")
    return Mixture(
        task.train,
        task.train_labels,
        torch.from_numpy(np.stack([part["features"] for part in parts])),
        torch.from_numpy(np.stack([part["labels"] for part in parts])),
    )
