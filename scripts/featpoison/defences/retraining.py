"""Victims behind a defence: heads trained on what it leaves, and tested on what it makes of the test rows."""

from collections.abc import Mapping

import torch
from torch import Tensor

from featpoison.defences.defence import Defended, Defending
from featpoison.downstream.task import Task
from featpoison.downstream.victims import retrain
from featpoison.heads import train_sgd
from featpoison.softmax import Head, logits
from featpoison.solvers.training_sets import TrainingSets


class DefenceError(ValueError):
    """A defence leaves nothing that heads can be trained on; the message says what and what was expected."""


def defended_task(given: Defending, defended: Defended) -> Task:
    """The training rows that a defence leaves (k, d'), and the test rows (m, d') as it sees them.

    Raises DefenceError where no row of a class is left that the training set has.
    """
    rows = torch.arange(len(given.labels)) if defended.rows is None else defended.rows
    train = given.features if defended.train is None else defended.train
    labels = given.labels[rows]
    if lost := sorted(set(given.labels.tolist()) - set(labels.tolist())):
        found = int((given.labels == lost[0]).sum())
        text = f"it removes all {found} training rows of class {lost[0]}, expected some to be left"
        raise DefenceError(text)
    test = given.task.test if defended.test is None else defended.test
    return Task(train[rows], labels, test, given.task.test_labels, given.task.classes)


def retrain_defended(given: Defending, defended: Defended) -> Mapping[str, Tensor]:
    """The heads of V victim seeds, and which test rows each classifies correctly.

    By name, on the CPU: sgd100_omega float32 (V, C, d'+1) and sgd100_correct bool (V, m); converged_omega
    float64 (1, C, d'+1) and converged_correct (1, m), unless the defence's training minimises nothing. Raises
    DefenceError as `defended_task`, and RuntimeError where a converged victim does not converge.
    """
    task, victims = defended_task(given, defended), defended.victims or given.victims
    sets = TrainingSets.of_clean(task.train, task.train_labels)
    if defended.gradients is None:
        found = retrain(task, sets, victims, given.device)
        omegas = {name: torch.from_numpy(found[f"{name}_omega"]) for name in ("sgd100", "converged")}
        omegas["sgd100"] = omegas["sgd100"][0]
    else:
        trained = train_sgd(
            sets.to(given.device, torch.float32),
            victims.sgd100,
            classes=task.classes,
            seeds=victims.seeds,
            gradients=defended.gradients,
        )
        omegas = {"sgd100": trained[0, :, -1].cpu()}
    correct = {f"{name}_correct": _correct(task, omega) for name, omega in omegas.items()}
    return {f"{name}_omega": omega for name, omega in omegas.items()} | correct


def _correct(task: Task, omega: Tensor) -> Tensor:
    """Which test rows each of the heads omega (V, C, d+1) classifies correctly, in float64, (V, m)."""
    scores = logits(task.test.double(), Head.from_omega(omega.double()))
    return scores.argmax(-1) == task.test_labels
