"""Pushed features (this project, an ablation): poisoned features without gradient canceling.

Each clean feature x with label y moves along one straight line, x + t (w_c - w_y), where w are the rows of
the clean head and c is the likeliest class of x but y: away from its own class and towards the wrong one. It
stops where the set of the row ends; t is the largest that the norm cap allows. No target head enters, and no
other poison: what canceling costs beyond this is what canceling is worth.

Of the straight lines it is the one that does most. At the demo's scale, 3 % of poisons at most four times as
long as clean features, the drops of sgd100 / converged are 5.2 / 4.0 along w_c - w_y, 6.2 / 4.1 along -w_y,
4.2 / 2.5 along w_c, and 0.3 / -0.2 along -w_c; of emittable features 4.5 / 3.1, 3.1 / -1.1, 2.9 / 3.2 and
0.6 / -0.3. Moving away from a wrong class does nothing: such a poison is what its label says, only more so.
"""

from typing import Any

import torch
from torch import Tensor

from featpoison import softmax
from featpoison.attacks.attack import Attack, Made, Run
from featpoison.attacks.base_rows import choose_initial, poison_count
from featpoison.attacks.constraints import NormBall, features_allowed
from featpoison.attacks.operations import Sizes, Work
from featpoison.common.settings import Settings
from featpoison.downstream.stored_heads import read_clean_head
from featpoison.downstream.task import read_task
from featpoison.softmax import Head

HALVINGS = 60
"""Of the interval of t: float64 has no more digits."""
SMALLEST = 1e-3
"""Of the parts of a direction that lead on, those shorter than this are taken for none."""


class PushedFeature(Settings):
    """Pushed features have no settings: the table's row says the norm cap."""


def direction(features: Tensor, labels: Tensor, head: Head) -> Tensor:
    """w_c - w_y for each row, of length 1, (n, d), with c the likeliest class but y. `features` x (n, d),
    `labels` y (n,)."""
    scores = softmax.logits(features, head).scatter(1, labels[:, None], -torch.inf)
    away = head.weight[scores.argmax(1)] - head.weight[labels]
    return away / away.norm(dim=1, keepdim=True)


def pushed(start: Tensor, along: Tensor, within: NormBall) -> Tensor:
    """The last point of the set on the way from each row of `start` (n, d) in the direction `along` (n, d) of
    length 1, in the arithmetic of `start`.

    Where the set has no negative entries, an entry that would become negative stays at 0. The norm of what is
    left is convex in t, so that from a start in the ball it leaves the ball once; bisection finds where. A
    row of such a set whose direction has no entry above 0 never leaves it, and ends at the largest t tried.
    """
    start = within.project(start)

    def at(t: Tensor) -> Tensor:
        moved = start + t[:, None] * along
        return moved.clamp(min=0) if within.nonnegative else moved

    # From a start in the ball a way of its diameter leads out; of a direction cut at 0 only a part leads on.
    ahead = along.clamp(min=0).norm(dim=1) if within.nonnegative else along.norm(dim=1)
    low, high = torch.zeros_like(ahead), 2 * within.radius / ahead.clamp(min=SMALLEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        inside = at(middle).norm(dim=1) <= within.radius
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
    return at(low)


def run(given: Run) -> Made:
    """Feature cache, clean heads -> poisoned features."""
    task, head = read_task(given.files["features"]), read_clean_head(given.files["clean"])
    base = choose_initial(task.train_labels, poison_count(given.budget, len(task.train)), given.seed)
    labels, start = task.train_labels[base], task.train[base].double()
    away = direction(start, labels, head.to(start))
    within = features_allowed(given.choice, task.train)
    features = within.project(pushed(start, away, within).float())
    return Made({"features": features.numpy(), "labels": labels.numpy(), "base": base.numpy()})


def work(sizes: Sizes, settings: Any, n: float) -> Work:
    """A few operations an entry in each halving."""
    return Work(0, HALVINGS * 4 * n * sizes.features, n * sizes.feature_bytes)


def memory(sizes: Sizes, settings: Any, n: float) -> float:
    """The features, and a few float64 arrays of the size of the poisons."""
    return sizes.held(n, features=2, poisoned=12)


ATTACK = Attack(
    name="pushed-feature",
    title="Pushed features",
    makes="features",
    settings=PushedFeature,
    needs=("features", "clean"),
    run=run,
    work=work,
    memory=memory,
    ours=True,
    sets=("cap", "emittable"),
    default_cap=1.0,
    gpu=False,
)
