"""exact-cosine (this project): the exact bilevel attack by an attacker who knows that the head sees
directions alone (defences/cosine_head.py).

It knows what exact-feature knows, and the defence: it scales clean rows and poisons to one length as the
defence does, trains the head on these at every step, and pulls the total derivative back through the scaling.
Length is worth nothing here, so all poisons have that of the row's norm cap: at cap 1 they pass the norm
filter too.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from featpoison.attacks import exact_feature
from featpoison.attacks.attack import Made, Run
from featpoison.attacks.constraints import NormBall, features_allowed
from featpoison.attacks.exact_feature import move_features, random_start
from featpoison.defences.cosine_head import normalised, usual_length
from featpoison.downstream.task import read_task


@dataclass(frozen=True)
class Sphere:
    """Rows (features) in `ball`, a norm cap, that are as long as it allows."""

    ball: NormBall

    def project(self, rows: Tensor) -> Tensor:
        """(n, d) -> (n, d), the nearest points of the set; a row that the cap's signs leave nothing of stays
        zero."""
        return normalised(rows.clamp(min=0) if self.ball.nonnegative else rows, self.ball.radius)


def seen(rows: Tensor, gradient: Callable[[Tensor], Tensor], *, scale: float) -> tuple[Tensor, Tensor]:
    """What the head sees of rows (n, d), and the gradient in the rows."""
    features, pull_back, *_ = torch.func.vjp(partial(normalised, scale=scale), rows)
    return features, pull_back(gradient(features))[0]


def run(given: Run) -> Made:
    """Feature cache -> poisoned features."""
    task = read_task(given.files["features"])
    start, within = random_start(task, given), Sphere(features_allowed(given.choice, task.train))
    # Poisons keep their lengths, so this is what the defence will take, whatever their directions become.
    scale = usual_length(torch.cat([task.train, within.project(start.features)]))
    scaled = replace(task, train=normalised(task.train, scale))
    return move_features(given, scaled, start, within=within, pull_back=partial(seen, scale=scale))


ATTACK = replace(
    exact_feature.ATTACK,
    name="exact-cosine",
    title="Exact bilevel, directions",
    section="exact_feature",
    run=run,
    sets=("cap", "emittable"),
)
