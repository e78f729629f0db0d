"""exact-feature (this project): features moved along the exact total derivative of the victim
(exact_bilevel.py).

The attacker knows the clean training set and the victim. At a norm cap of 1 it also knows every rule about
lengths: its features are no longer than clean ones.
"""

import math
from dataclasses import dataclass
from typing import Any

from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from featpoison.attacks.attack import Attack, Made, Run
from featpoison.attacks.base_rows import choose_initial, poison_count
from featpoison.attacks.constraints import ConstraintSet, features_allowed
from featpoison.attacks.exact_bilevel import Bilevel
from featpoison.attacks.input_space import InputSpace, PullBack, in_feature_space, optimise
from featpoison.attacks.operations import NEWTON_STEP_PRODUCTS, Sizes, Work, hessian_product
from featpoison.attacks.step_rules import Optimizer
from featpoison.common.settings import Settings
from featpoison.downstream.task import Task, read_task
from featpoison.solvers.newton import Converged


class ExactFeature(Settings):
    """Settings of exact-feature. The table's row says how long a poisoned feature may be."""

    epochs: PositiveInt = 200
    """Steps of the poisoned features."""
    optimizer: Optimizer = "adam"
    """Step rule."""
    step_size: PositiveFloat = 0.1
    """First step size, in units of a feature for Adam; half a cosine takes it to zero."""
    tolerance: PositiveFloat = 1e-6
    """Largest relative residual of q."""

    def loop(self, count: int) -> InputSpace:
        """The settings of the shared loop: all `count` features in one batch."""
        return InputSpace(
            epochs=self.epochs, optimizer=self.optimizer, step_size=self.step_size, batch_size=count
        )


@dataclass(frozen=True)
class Start:
    """The clean rows that poisons start from: their numbers (n,), features (n, d) and labels (n,)."""

    rows: Tensor
    features: Tensor
    labels: Tensor


def random_start(task: Task, given: Run) -> Start:
    """Where a poison seed starts: a random choice of clean rows."""
    rows = choose_initial(task.train_labels, poison_count(given.budget, len(task.train)), given.seed)
    return Start(rows, task.train[rows], task.train_labels[rows])


def run(given: Run) -> Made:
    """Feature cache -> poisoned features."""
    task = read_task(given.files["features"])
    return move_features(
        given, task, random_start(task, given), within=features_allowed(given.choice, task.train)
    )


def move_features(
    given: Run, task: Task, start: Start, *, within: ConstraintSet, pull_back: PullBack = in_feature_space
) -> Made:
    """Poisoned features that raise the clean training loss of the head that is trained on them.

    `task` has the clean rows as the victim sees them, `pull_back` what the victim sees of poisoned features
    (n, d), and `within` the set that these stay in. Resumes after a kill.
    """
    settings: ExactFeature = given.settings
    clean = task.train.to(given.device), task.train_labels.to(given.device)
    initial = start.features.to(given.device)
    poisons = initial, start.labels.to(given.device)
    found = optimise(
        initial,
        Bilevel(clean, poisons, given.victim, classes=task.classes, tolerance=settings.tolerance),
        settings.loop(len(initial)),
        pull_back=pull_back,
        within=within,
        threshold=-math.inf,
        checkpoint=given.checkpoint,
    )
    arrays = {"features": found.poisons.cpu(), "labels": start.labels, "base": start.rows}
    return Made({name: array.numpy() for name, array in arrays.items()}, found.facts())


def work(sizes: Sizes, settings: Any, n: float) -> Work:
    """All steps, with the Newton steps of each."""
    step = NEWTON_STEP_PRODUCTS * hessian_product(sizes.train + n, sizes.features, sizes.classes)
    return Work(0, settings.epochs * step, n * sizes.feature_bytes)


def memory(sizes: Sizes, settings: Any, n: float) -> float:
    """The features in both precisions, and sixteen arrays of the size of the poisoned ones."""
    return sizes.held(n, features=6, poisoned=16)


ATTACK = Attack(
    name="exact-feature",
    title="Exact bilevel, features",
    makes="features",
    settings=ExactFeature,
    needs=("features",),
    run=run,
    work=work,
    memory=memory,
    ours=True,
    sets=("cap", "emittable", "free"),
    default_cap=1.0,
    victim=Converged,
)
