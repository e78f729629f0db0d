"""Retraining victims on poisoned sets: every number that a table prints about an attack."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from featpoison import softmax
from featpoison.heads import SGD100, Converged, Mixture, train_converged, train_sgd
from featpoison.metrics import accuracy, magnitude_ratio
from featpoison.settings import Settings
from featpoison.softmax import Head


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


def attack_facts(task: Downstream, mixture: Mixture, target: Head, clean_gradient: Tensor) -> dict[str, np.ndarray]:
    """Of each of K poisoned sets: residual ||R|| / ||G|| at the target head and feature magnitude ratio to clean, (K,) each."""
    own = [softmax.head_gradient(X, y, target) for X, y in zip(mixture.poisons, mixture.poison_labels, strict=True)]
    return {
        "residual": np.array([((clean_gradient + gradient).norm() / clean_gradient.norm()).item() for gradient in own]),
        "feature_magnitude_ratio": np.array([magnitude_ratio(X, task.train) for X in mixture.poisons]),
    }
