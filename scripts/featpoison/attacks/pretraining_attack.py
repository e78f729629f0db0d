"""What an attack on pre-training says of itself.

Such an attack makes images without labels, which are put among the images that an encoder is pre-trained on.
It stands beside `Attack` (attack.py) and is no kind of it: that one poisons the labelled training set of a
head on a frozen encoder, so that its budget, its sets, its target head and its victims have no meaning here.
And where the test images there must enter no choice, the target inputs here are test images.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from featpoison.attacks.attack import Made
from featpoison.attacks.operations import Sizes
from featpoison.common.settings import Settings


@dataclass(frozen=True)
class PretrainingRun:
    """What a program hands to an attack on pre-training."""

    settings: Any
    """Of the attack's own class."""
    images: Path
    """Image file of the pre-training data set."""
    downstream: Mapping[str, Path] = field(default_factory=dict)
    """Image files of the downstream tasks, by the names of their data sets."""
    rate: float = 0.01
    """Poisoning images for each clean pre-training image."""
    seed: int = 0
    """Poison seed."""


@dataclass(frozen=True)
class PretrainingAttack:
    """An attack on pre-training. Its images are stored as `pretraining/poison_sets.py` says."""

    name: str
    title: str
    """As tables show it."""
    settings: type[Settings]
    run: Callable[[PretrainingRun], Made]
    memory: Callable[[Sizes, Any, float], float]
    """Bytes of the arrays held in main memory at once, for the sizes of the pre-training data set, settings
    and a number of poisons."""
    ours: bool = False
    """Whether it is this project's and in no publication."""


def image_count(rate: float, clean: int) -> int:
    """round(rate N) poisoning images for N clean ones.

    Raises ValueError for a rate that is not above 0 and at most 1, and for one that gives no image.
    """
    if not 0 < rate <= 1:
        raise ValueError(f"'rate' is {rate:g}, expected more than 0 and at most 1")
    count = round(rate * clean)
    if count < 1:
        raise ValueError(
            f"'rate' is {rate:g}, which of {clean} images is none, expected at least {1 / clean:g}"
        )
    return count
