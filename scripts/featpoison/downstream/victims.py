"""Retraining linear heads on poisoned sets, for the numbers that a table prints."""

import numpy as np
import torch

from featpoison.common.settings import Settings
from featpoison.downstream.accuracy import accuracy
from featpoison.downstream.poisons import Poisons
from featpoison.downstream.task import Task
from featpoison.heads import SGD100, train_sgd
from featpoison.solvers.newton import Converged, train_converged
from featpoison.solvers.training_sets import TrainingSets


class Victims(Settings):
    """The two victims and their seeds."""

    sgd100: SGD100 = SGD100()
    """The paper's protocol, SGD for 100 epochs."""
    converged: Converged = Converged()
    """The exact minimiser, which has no seed."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Victim seeds of sgd100: initial head and order of rows."""

    def of_class(self, kind: type[Settings]) -> Settings:
        """The settings of the victim that an attack follows, by their class. Raises KeyError for another
        class."""
        return {SGD100: self.sgd100, Converged: self.converged}[kind]


def training_sets_of(task: Task, poisons: list[Poisons]) -> list[TrainingSets]:
    """The clean rows of `task` joined with each set of poisons, in the order of `poisons`.

    Sets of one size form one batched problem, which is solved faster; where sizes differ, every set is a
    problem of its own.
    """
    sizes = {len(one.labels) for one in poisons}
    groups = [poisons] if len(sizes) == 1 else [[one] for one in poisons]
    return [
        TrainingSets(
            task.train,
            task.train_labels,
            torch.stack([one.features for one in group]),
            torch.stack([one.labels for one in group]),
        )
        for group in groups
    ]


def retrain_all(
    task: Task, poisons: list[Poisons], victims: Victims, device: torch.device
) -> dict[str, np.ndarray]:
    """What `retrain` measures on the clean rows with each of K sets of poisons, whatever their sizes.

    Raises RuntimeError where a converged victim does not converge.
    """
    parts = [retrain(task, sets, victims, device) for sets in training_sets_of(task, poisons)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def retrain(task: Task, sets: TrainingSets, victims: Victims, device: torch.device) -> dict[str, np.ndarray]:
    """Train both victims on each of K training sets, on `device`, and test them on the task's test rows.

    Arrays by name, for V victim seeds, C classes and d features; accuracies are shares of the test rows, in
    [0, 1]:

    sgd100_omega (K, V, C, d+1) float32, the heads after the last epoch, bias last. sgd100_accuracy (K, V,
    tail), after each of the last epochs. converged_omega (K, C, d+1) float64, converged_accuracy (K,).
    converged_certificate (K,), the largest entry of the mean gradient at each minimiser.

    Raises RuntimeError where a converged victim does not converge.
    """
    sets = sets.to(device, torch.float32)
    trained = train_sgd(sets, victims.sgd100, classes=task.classes, seeds=victims.seeds)
    guess = trained[:, :, -1].mean(1)  # the mean of the other victim's heads is often near
    converged, certificate = train_converged(sets, victims.converged, classes=task.classes, guess=guess)
    test, labels = task.test.to(device), task.test_labels.to(device)
    return {
        "sgd100_omega": trained[:, :, -1].cpu().numpy(),
        "sgd100_accuracy": accuracy(test, labels, trained).cpu().numpy(),
        "converged_omega": converged.cpu().numpy(),
        "converged_accuracy": accuracy(test, labels, converged).cpu().numpy(),
        "converged_certificate": certificate.cpu().numpy(),
    }
