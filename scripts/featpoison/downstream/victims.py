"""Retraining victims on poisoned sets: every number that a table prints about an attack."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from featpoison import softmax
from featpoison.common.settings import Settings
from featpoison.downstream.metrics import accuracy, magnitude_ratio, pixel_ratio, psnr, structural_similarity
from featpoison.heads import SGD100, train_sgd
from featpoison.softmax import Head
from featpoison.solvers.newton import Converged, train_converged
from featpoison.solvers.training_sets import Mixture


class Victims(Settings):
    """The two victims and their seeds."""

    sgd100: SGD100 = SGD100()
    """The paper's protocol."""
    converged: Converged = Converged()
    """The exact minimiser; has no seed."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Victim seeds of sgd100: initial head and order of rows."""


@dataclass(frozen=True)
class Downstream:
    """Features and labels of a downstream task: train (N, d), (N,); test (m, d), (m,)."""

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    classes: int


@dataclass(frozen=True)
class Poisons:
    """One poisoned set: features (n, d), labels (n,); of image attacks images (n, 3, h, w), base rows (n,), of targeted ones distances (n,)."""

    features: Tensor
    labels: Tensor
    images: Tensor | None = None
    base: Tensor | None = None
    distance: Tensor | None = None


def mixtures_of(task: Downstream, poisons: list[Poisons]) -> list[Mixture]:
    """The clean rows with each set of poisons: one batched problem where all sets have one size, else one problem a set."""
    groups = [poisons] if len({len(one.labels) for one in poisons}) == 1 else [[one] for one in poisons]
    return [
        Mixture(task.train, task.train_labels, torch.stack([one.features for one in group]), torch.stack([one.labels for one in group]))
        for group in groups
    ]


def retrain_all(task: Downstream, poisons: list[Poisons], victims: Victims, device: torch.device) -> dict[str, np.ndarray]:
    """`retrain` on the clean rows with each of K sets of poisons, whatever their sizes."""
    parts = [retrain(task, mixture, victims, device) for mixture in mixtures_of(task, poisons)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def retrain(task: Downstream, mixture: Mixture, victims: Victims, device: torch.device) -> dict[str, np.ndarray]:
    """Train both victims on each of K sets; arrays by name, ready to be stored.

    sgd100_omega (K, V, C, d+1), sgd100_accuracy (K, V, tail) after each of the last epochs, converged_omega (K, C, d+1) float64,
    converged_accuracy (K,), converged_certificate (K,). Accuracies are shares of the test set.
    """
    mixture = mixture.to(device, torch.float32)
    trained = train_sgd(mixture, victims.sgd100, classes=task.classes, seeds=victims.seeds)
    converged, certificate = train_converged(mixture, victims.converged, classes=task.classes)
    test, labels = task.test.to(device), task.test_labels.to(device)
    return {
        "sgd100_omega": trained[:, :, -1].cpu().numpy(),
        "sgd100_accuracy": accuracy(test, labels, trained).cpu().numpy(),
        "converged_omega": converged.cpu().numpy(),
        "converged_accuracy": accuracy(test, labels, converged).cpu().numpy(),
        "converged_certificate": certificate.cpu().numpy(),
    }


def attack_facts(task: Downstream, poisons: list[Poisons], target: Head, clean_gradient: Tensor) -> dict[str, np.ndarray]:
    """Of each of K poisoned sets: residual ||R|| / ||G|| at the target head, number of poisons; of those with any, the feature magnitude
    ratio to clean and the mean ||f(nu) - zeta||^2 of targeted attacks; (K,) each, or shorter.
    """
    own = [softmax.head_gradient(one.features, one.labels, target) for one in poisons]
    some = [one for one in poisons if len(one.labels)]
    facts = {
        "residual": [((clean_gradient + gradient).norm() / clean_gradient.norm()).item() for gradient in own],
        "poisons": [len(one.labels) for one in poisons],
        "feature_magnitude_ratio": [magnitude_ratio(one.features, task.train) for one in some],
        "feature_distance": [one.distance.mean().item() for one in some if one.distance is not None],
    }
    return {name: np.array(values) for name, values in facts.items() if values}


def image_facts(poisons: list[Poisons], clean_images: Callable[[Tensor], Tensor], largest: float) -> dict[str, np.ndarray]:
    """Of each set that has poisons: largest pixel relative to `largest`, that of all clean images; PSNR and SSIM to the base images.

    `clean_images(rows)`: the clean images (k, 3, h, w) in [0, 1] of these rows of the training set.
    """
    shown = [(one.images, clean_images(one.base)) for one in poisons if one.images is not None and one.base is not None and len(one.labels)]
    facts = {
        "pixel_ratio": [pixel_ratio(images, largest) for images, _ in shown],
        "psnr": [psnr(images, base) for images, base in shown],
        "ssim": [structural_similarity(images, base) for images, base in shown],
    }
    return {name: np.array(values) for name, values in facts.items() if values}
