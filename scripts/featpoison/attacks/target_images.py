"""Baseline of attacks on pre-training: the targets that PoisonedEncoder would combine, alone and whole.

They make the encoder know its targets well, but tell it nothing about a class.
"""

from typing import Any

from featpoison.attacks.attack import Made
from featpoison.attacks.operations import Sizes
from featpoison.attacks.pretraining_attack import PretrainingAttack, PretrainingRun
from featpoison.attacks.pretraining_targets import Targets, assignment, read_pictures


class TargetImages(Targets):
    """Settings of the baseline with targets alone."""


def run(given: PretrainingRun) -> Made:
    """Images of pre-training and of downstream tasks -> copies of the targets.

    The arrays are `images_whole`, uint8 (n, 3, h, w), and for each image `task`, `target`, `reference` and
    `label` (n,) as PoisonedEncoder has them for the same settings, rate and seed. Raises ValueError naming
    key, value and expectation, before an image is read.
    """
    planned = assignment(given)
    arrays = {"images_whole": read_pictures(given, planned.columns, "target")} | planned.columns
    return Made(arrays, {"rate": given.rate, "tasks": planned.tasks, "targets": planned.targets})


def memory(sizes: Sizes, settings: Any, n: float) -> float:
    """Two images of one byte a value for each copy."""
    return sizes.held(n, poisons=0.5)


PRETRAINING_ATTACK = PretrainingAttack(
    name="target-images",
    title="Target images alone",
    settings=TargetImages,
    run=run,
    memory=memory,
)
