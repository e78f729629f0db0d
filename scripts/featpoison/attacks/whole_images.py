"""What the baselines of attacks on pre-training share: they put the parts of combinations among the images,
alone and whole."""

from typing import Any, Literal

from featpoison.attacks.attack import Made
from featpoison.attacks.operations import Sizes
from featpoison.attacks.pretraining_attack import PretrainingRun
from featpoison.attacks.pretraining_targets import assignment, read_pictures


def copies(given: PretrainingRun, part: Literal["target", "reference"]) -> Made:
    """Images of pre-training and of downstream tasks -> copies of the targets, or of the references.

    The arrays are `images_whole`, uint8 (n, 3, h, w), and for each image `task`, `target`, `reference` and
    `label` (n,) as PoisonedEncoder has them for the same settings, rate and seed. Raises ValueError naming
    key, value and expectation, before an image is read.
    """
    planned = assignment(given)
    arrays = {"images_whole": read_pictures(given, planned.columns, part)} | planned.columns
    return Made(arrays, {"rate": given.rate, "tasks": planned.tasks, "targets": planned.targets})


def memory(sizes: Sizes, settings: Any, n: float) -> float:
    """Two images of one byte a value for each copy."""
    return sizes.held(n, poisons=0.5)
