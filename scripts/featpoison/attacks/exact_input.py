"""exact-input (this project): images moved along the exact total derivative of the victim
(exact_bilevel.py)."""

import math
from typing import Any

from pydantic import PositiveFloat, PositiveInt

from featpoison.attacks.attack import Attack, Made, Run
from featpoison.attacks.exact_bilevel import Bilevel
from featpoison.attacks.image_poisons import move_images, random_start
from featpoison.attacks.input_space import InputSpace
from featpoison.attacks.operations import (
    NEWTON_STEP_PRODUCTS,
    Sizes,
    Work,
    hessian_product,
    input_space_work,
)
from featpoison.downstream.task import read_task
from featpoison.solvers.newton import Converged


class ExactInput(InputSpace):
    """Settings of exact-input."""

    epochs: PositiveInt = 200
    """Steps of the poisons."""
    tolerance: PositiveFloat = 1e-6
    """Largest relative residual of q."""


def run(given: Run) -> Made:
    """Images, encoder, feature cache -> poison images."""
    task = read_task(given.files["features"])
    start = random_start(task, given)
    clean = task.train.to(given.device), task.train_labels.to(given.device)
    poisons = start.features, start.labels
    tolerance = given.settings.tolerance
    objective = Bilevel(clean, poisons, given.victim, classes=task.classes, tolerance=tolerance)
    return move_images(given, start, objective, threshold=-math.inf)


def work(sizes: Sizes, settings: Any, n: float) -> Work:
    """All epochs, with the Newton steps of each."""
    step = NEWTON_STEP_PRODUCTS * hessian_product(sizes.train + n, sizes.features, sizes.classes)
    return input_space_work(sizes, n, settings.epochs, step)


def memory(sizes: Sizes, settings: Any, n: float) -> float:
    """The features in both precisions; images, their features, moments and gradients."""
    return sizes.held(n, features=6, poisons=8, poisoned=8)


ATTACK = Attack(
    name="exact-input",
    title="Exact bilevel, input",
    makes="images",
    settings=ExactInput,
    needs=("images", "encoder", "features"),
    run=run,
    work=work,
    memory=memory,
    tint="input",
    ours=True,
    sets=("free", "valid", "constrained"),
    victim=Converged,
)
