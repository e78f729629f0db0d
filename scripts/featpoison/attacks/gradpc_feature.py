"""GradPC with the gradient taken from the feature cache."""

from typing import Any

from featpoison.attacks.attack import Attack, Made, Run
from featpoison.attacks.gradpc import GradPC, corrupt
from featpoison.attacks.operations import Sizes, Work
from featpoison.downstream.task import read_task


def run(given: Run) -> Made:
    """Feature cache, clean heads -> target head."""
    task = read_task(given.files["features"])
    return corrupt(given, task, task.train)


def work(sizes: Sizes, settings: Any, n: float) -> Work:
    """Two gradients of the head: nothing beside the other steps."""
    return Work()


def memory(sizes: Sizes, settings: Any, n: float) -> float:
    """The features, once in float64."""
    return sizes.held(features=5)


ATTACK = Attack(
    name="gradpc-feature",
    title="GradPC (feature space)",
    makes="target",
    settings=GradPC,
    section="gradpc",
    needs=("features", "clean"),
    run=run,
    work=work,
    memory=memory,
    gpu=False,
)
