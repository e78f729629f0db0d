"""exact-feature (this project): features moved along the exact total derivative of the victim
(exact_bilevel.py)."""

import math
from typing import Any

from pydantic import PositiveFloat, PositiveInt

from featpoison.attacks.attack import Attack, Made, Run
from featpoison.attacks.base_rows import choose_initial, poison_count
from featpoison.attacks.constraints import features_allowed
from featpoison.attacks.exact_bilevel import Bilevel
from featpoison.attacks.input_space import InputSpace, in_feature_space, optimise
from featpoison.attacks.operations import NEWTON_STEP_PRODUCTS, Sizes, Work, hessian_product
from featpoison.attacks.step_rules import Optimizer
from featpoison.common.settings import Settings
from featpoison.downstream.task import read_task
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


def run(given: Run) -> Made:
    """Feature cache -> poisoned features."""
    settings: ExactFeature = given.settings
    task = read_task(given.files["features"])
    base = choose_initial(task.train_labels, poison_count(given.budget, len(task.train)), given.seed)
    labels, initial = task.train_labels[base], task.train[base].to(given.device)
    clean = task.train.to(given.device), task.train_labels.to(given.device)
    poisons = initial, labels.to(given.device)
    found = optimise(
        initial,
        Bilevel(clean, poisons, given.victim, classes=task.classes, tolerance=settings.tolerance),
        settings.loop(len(base)),
        pull_back=in_feature_space,
        within=features_allowed(given.choice, task.train),
        threshold=-math.inf,
        checkpoint=given.checkpoint,
    )
    arrays = {"features": found.poisons.cpu().numpy(), "labels": labels.numpy(), "base": base.numpy()}
    return Made(arrays, found.facts())


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
