"""Sever (Diakonikolas et al., 2019, https://arxiv.org/abs/1803.02815, Algorithms 1 and 2): train, drop the
rows whose loss gradients stand out, and train again, some rounds.

A row's gradient at the trained head is g = (p - y) z^T with z = [x, 1] (`softmax.py`). Rows are ranked by ((g
- mean g) . v)^2, v the top right singular vector of the centred gradients. The n x C (d+1) matrix of
gradients is never built: its products with v and u are rowsum((P - Y) * Z V^T) and (P - Y)^T diag(u) Z.
"""

import numpy as np
import torch
from pydantic import PositiveInt
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from featpoison import softmax
from featpoison.defences.defence import Defence, Defended, Defending
from featpoison.defences.ranking import Ranking, least, removed_count, top_direction
from featpoison.softmax import Head
from featpoison.solvers.newton import train_converged
from featpoison.solvers.training_sets import TrainingSets


class Sever(Ranking):
    """Settings of Sever."""

    rounds: PositiveInt = 4
    """Trainings, after each of which an equal part of the share is removed."""


def gradient_scores(features: Tensor, labels: Tensor, head: Head) -> Tensor:
    """((g - mean g) . v)^2 of each row, float64 (n,): features (n, d), labels (n,), a head of C classes."""
    E = softmax.error(features, labels, head).double().cpu().numpy()  # (n, C)
    Z = softmax.with_ones(features).double().cpu().numpy()  # (n, d+1)
    shape, mean = (E.shape[1], Z.shape[1]), (E.T @ Z / len(Z)).ravel()

    def times(v: np.ndarray) -> np.ndarray:
        return (E * (Z @ v.reshape(shape).T)).sum(1) - mean @ v.ravel()

    def transposed(u: np.ndarray) -> np.ndarray:
        return (E.T @ (u.reshape(-1, 1) * Z)).ravel() - u.sum() * mean

    centred = LinearOperator((len(Z), mean.size), matvec=times, rmatvec=transposed, dtype=np.float64)
    return torch.from_numpy(times(top_direction(centred)) ** 2)


def run(given: Defending) -> Defended:
    """What is left after all rounds."""
    rows, total = torch.arange(len(given.labels)), len(given.labels)
    features, labels = given.features.to(given.device), given.labels.to(given.device)
    omega, removed = None, removed_count(given.settings.share, total)
    for done in range(given.settings.rounds):
        sets = TrainingSets.of_clean(features[rows], labels[rows])
        omega, _ = train_converged(sets, given.victims.converged, classes=given.task.classes, guess=omega)
        scores = gradient_scores(features[rows].double(), labels[rows], Head.from_omega(omega[0]))
        left = total - round(removed * (done + 1) / given.settings.rounds)
        rows = rows[least(scores, len(rows) - left)]
    return Defended(rows=rows)


DEFENCE = Defence(name="sever", title="Sever", settings=Sever, run=run)
