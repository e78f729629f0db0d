"""Trimmed loss (Shen and Sanghavi, 2019, https://arxiv.org/abs/1810.11874, Algorithm 1): train, keep the rows
with the smallest losses, and train again on these, some rounds.

It descends on the trimmed loss: the mean over the share of rows where it is smallest, over heads and shares
together. Every round chooses among all rows, so that a row may come back.
"""

import torch
from pydantic import PositiveInt
from torch import Tensor

from featpoison import softmax
from featpoison.defences.defence import Defence, Defended, Defending
from featpoison.defences.ranking import Ranking, least, removed_count
from featpoison.softmax import Head
from featpoison.solvers.newton import train_converged
from featpoison.solvers.training_sets import TrainingSets


class TrimmedLoss(Ranking):
    """Settings of the trimmed loss."""

    rounds: PositiveInt = 5
    """Trainings, each followed by a choice of rows. It ends earlier where a choice repeats."""


def losses(features: Tensor, labels: Tensor, head: Head) -> Tensor:
    """Cross-entropy of each row in nats, (n,): features (n, d), labels (n,)."""
    return torch.nn.functional.cross_entropy(softmax.logits(features, head), labels, reduction="none")


def run(given: Defending) -> Defended:
    """The rows of the last choice."""
    features, labels = given.features.to(given.device), given.labels.to(given.device)
    removed = removed_count(given.settings.share, len(labels))
    rows, omega = torch.arange(len(labels)), None
    for _ in range(given.settings.rounds):
        sets = TrainingSets.of_clean(features[rows], labels[rows])
        omega, _ = train_converged(sets, given.victims.converged, classes=given.task.classes, guess=omega)
        chosen = least(losses(features.double(), labels, Head.from_omega(omega[0])).cpu(), removed)
        if torch.equal(chosen, rows):
            break
        rows = chosen
    return Defended(rows=rows)


DEFENCE = Defence(name="trimmed-loss", title="trimmed loss", settings=TrimmedLoss, run=run)
