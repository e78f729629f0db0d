"""exact-spectral (this project): the exact bilevel attack by an attacker who knows spectral signatures
(defences/spectral_signatures.py).

It knows what exact-feature knows, and the defence with the share that it removes. Poisons stay inside the
cut: in each class, with the poisons among the rows, no poison stands out along the top direction as much as
the clean rows that fill the defender's share. So the defence removes clean rows and no poison. The row's norm
cap holds as well: at cap 1 the poisons pass the norm filter too.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from featpoison.attacks import exact_feature
from featpoison.attacks.attack import Made, Run
from featpoison.attacks.constraints import NormBall, features_allowed
from featpoison.attacks.exact_feature import ExactFeature, move_features, random_start
from featpoison.attacks.operations import Sizes, Work
from featpoison.defences.ranking import principal_direction, removed_count
from featpoison.downstream.task import Task, read_task

ROUNDS = 30
"""Most projections in turn. At the demo's scale one or two are enough."""
MARGIN = 0.98
"""Where a poison beyond the cut is put, times the cut: its move changes the mean and the top direction."""
DECOMPOSITION = 14
"""Operations of a singular value decomposition of an (n, d) matrix with its vectors, times n d^2."""


class ExactSpectral(ExactFeature):
    """Settings of exact-spectral, those of exact-feature and what it knows of the defence."""

    share: float = Field(0.1, gt=0, lt=1)
    """The share of each class that the defence removes."""


@dataclass(frozen=True)
class Unremarkable:
    """Rows (features) in `ball` that spectral signatures keep.

    Whether a row is in the set depends on all others; so do the direction and the cut.
    """

    ball: NormBall
    task: Task
    """The clean rows."""
    labels: Tensor
    """Of the rows (n,)."""
    share: float
    """That the defence removes of each class."""

    def project(self, rows: Tensor) -> Tensor:
        """(n, d) -> (n, d), all rows together.

        The projections to the ball and, class by class, to the slab between the cuts take turns, each slab
        measured with the rows as they are then. Where no turn of `ROUNDS` leaves the rows in both, which a
        small norm cap can make impossible, the norm cap holds, and some rows stand out.
        """
        for _ in range(ROUNDS):
            rows = self.ball.project(rows)
            moved = rows.clone()
            for label in self.labels.unique():
                own, clean = self.labels == label, self.task.train_labels == label.to(self.task.train_labels)
                moved[own] = inside_the_cut(rows[own], self.task.train[clean].to(rows), self.share)
            if torch.equal(moved, rows):
                return rows
            rows = moved
        return self.ball.project(rows)


def inside_the_cut(rows: Tensor, clean: Tensor, share: float) -> Tensor:
    """Poisons `rows` (n, d) of one class, moved along the top direction to where they stand out less than the
    `clean` rows (N, d) that fill the share of this class; untouched where they all do."""
    both = torch.cat([clean, rows])
    removed = min(removed_count(share, len(both)), len(clean))
    if not removed:
        return rows
    mean, direction = principal_direction(both)
    along = (both.double() - mean) @ direction
    cut = along[: len(clean)].abs().topk(removed).values[-1]
    own = along[len(clean) :]
    if (own.abs() < cut).all():
        return rows
    shift = own.clamp(-MARGIN * cut, MARGIN * cut) - own
    return (rows.double() + shift[:, None] * direction).to(rows)


def run(given: Run) -> Made:
    """Feature cache -> poisoned features."""
    task = read_task(given.files["features"])
    start, ball = random_start(task, given), features_allowed(given.choice, task.train)
    within = Unremarkable(ball, task, start.labels.to(given.device), given.settings.share)
    return move_features(given, task, start, within=within)


def work(sizes: Sizes, settings: Any, n: float) -> Work:
    """That of exact-feature, and two decompositions of all rows a step."""
    decompositions = 2 * settings.epochs * DECOMPOSITION * (sizes.train + n) * sizes.features**2
    return exact_feature.work(sizes, settings, n) + Work(0, decompositions)


ATTACK = replace(
    exact_feature.ATTACK,
    name="exact-spectral",
    title="Exact bilevel, inside the cut",
    section="",
    settings=ExactSpectral,
    run=run,
    work=work,
)
