"""Ridge chosen on a clean holdout: some training rows are known to be clean, and the weight decay is the one
whose head, trained on the other rows, is right most often on these.

Validation on trusted data is the usual choice of a hyper-parameter; that a strong ridge bounds what poisons
can do to a convex learner is in Steinhardt, Koh and Liang (2017, https://arxiv.org/abs/1706.03691, section
3). Both victims are then trained on all rows, the holdout too, with ridge/2 ||omega||^2 added to the mean
loss.
"""

from typing import Annotated

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from featpoison.common.seeds import stream
from featpoison.common.settings import Settings
from featpoison.defences.defence import Defence, Defended, Defending
from featpoison.downstream.accuracy import accuracy
from featpoison.solvers.newton import train_converged
from featpoison.solvers.training_sets import TrainingSets


class HoldoutRidge(Settings):
    """Settings of the choice."""

    holdout: float = Field(0.1, gt=0, lt=1)
    """Share of the clean training rows that are known to be clean."""
    ridges: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    """What is tried. Of equally good ones the largest is taken."""


def accuracies(given: Defending, trusted: Tensor) -> list[float]:
    """Of the exact minimiser with each ridge, trained on all rows but those that `trusted` (N + n,) marks,
    on these."""
    features, labels = given.features.to(given.device), given.labels.to(given.device)
    marked = trusted.to(given.device)
    sets = TrainingSets.of_clean(features[~marked], labels[~marked])
    found, omega = {}, None
    for ridge in sorted(given.settings.ridges, reverse=True):  # each is a near start for the next
        settings = given.victims.converged.model_copy(update={"ridge": ridge})
        omega, _ = train_converged(sets, settings, classes=given.task.classes, guess=omega)
        found[ridge] = accuracy(features[marked], labels[marked], omega)[0].item()
    return [found[ridge] for ridge in given.settings.ridges]


def run(given: Defending) -> Defended:
    """The victims with the best ridge."""
    clean = len(given.task.train)
    order = torch.randperm(clean, generator=stream(given.seed, device=torch.device("cpu")))
    trusted = torch.zeros(len(given.labels), dtype=torch.bool)
    trusted[order[: max(1, round(given.settings.holdout * clean))]] = True
    _, ridge = max(zip(accuracies(given, trusted), given.settings.ridges, strict=True))
    victims = given.victims.model_copy(
        update={
            "sgd100": given.victims.sgd100.model_copy(update={"weight_decay": ridge}),
            "converged": given.victims.converged.model_copy(update={"ridge": ridge}),
        }
    )
    return Defended(victims=victims, facts={"ridge": ridge})


DEFENCE = Defence(name="holdout-ridge", title="ridge by a clean holdout", settings=HoldoutRidge, run=run)
