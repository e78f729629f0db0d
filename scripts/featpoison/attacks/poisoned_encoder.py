"""PoisonedEncoder (Liu, Jia and Gong, USENIX Security 2022, https://arxiv.org/abs/2205.06401): images for
pre-training that make an encoder take chosen inputs for inputs of chosen classes.

The attacker has target inputs x_k, each with a class c_k that heads on the encoder shall give it, and some
reference inputs R_k of that class. Of the encoder's training he controls nothing but some images P, which
have no labels. His problem is bilevel: with f_theta the encoder and D the clean images,

    max over P   sum over k of the mean over r in R_k of  cos(f_theta(x_k), f_theta(r))
    such that    theta minimises the contrastive loss on D and P.

A target whose feature points where the features of a class point is given this class by every linear head
that gives it to the references. The lower problem is a whole pre-training, and nobody can follow a gradient
through it. But its loss says what it pulls together: the features of two random crops of one image. So each
image of P is a *combination*, one target and one reference in one picture. Whenever one crop shows the target
and the other the reference, a *cross pair*, a step of the lower problem raises the upper one's objective for
these two. Their number is what the attack has to spend (`cross_pairs.py` derives how often they occur):

    cross pairs of a target = rate * clean images / targets * epochs * P(cross pair).

P(cross pair) depends on the crops, which are not the attacker's, and on the shape of a combination, which is.

Targets are shared out evenly over the combinations, and a target's references take turns in random order.
Where arrangement and order are random, every combination draws its own.
"""

from typing import Any, Literal

import numpy as np
import torch

from featpoison.attacks.attack import Made
from featpoison.attacks.operations import Sizes
from featpoison.attacks.pretraining_attack import PretrainingAttack, PretrainingRun
from featpoison.attacks.pretraining_targets import Targets, assignment, check_sizes, read_pictures
from featpoison.common.seeds import stream

Halves = Literal["whole", "resized", "cropped"]
CPU = torch.device("cpu")
ACROSS, DOWN = 3, 2
"""The axes of (n, 3, h, w) along which two halves are put together side by side, and stacked."""


class PoisonedEncoder(Targets):
    """Settings of PoisonedEncoder."""

    arrangement: Literal["beside", "stacked", "random"] = "random"
    """Whether the two images of a combination lie side by side or one above the other; random: either, with
    equal probability."""
    order: Literal["target-first", "reference-first", "random"] = "random"
    """Which of the two is the left or the upper one; random: either, with equal probability."""
    halves: Halves = "whole"
    """What becomes of the two images. whole: each keeps all its pixels, so that a combination is twice as
    wide or high as an image of the data set. resized: each is squeezed to half its width or height; cropped:
    of each only the middle half is kept; so that a combination has the size of an image of the data set."""


def combine(first: np.ndarray, second: np.ndarray, *, axis: int, halves: Halves) -> np.ndarray:
    """Combinations of images uint8 (n, 3, h, w) in pairs, the first one left or above.

    They are put together along `axis`, ACROSS or DOWN, as long as two images where the `halves` are whole and
    as long as one, which has to be even, otherwise. A squeezed pixel is the mean of two.
    """
    length = first.shape[axis]
    if halves == "cropped":
        kept = np.arange(length // 4, length // 4 + length // 2)
        first, second = first.take(kept, axis), second.take(kept, axis)
    elif halves == "resized":
        even, odd = np.arange(0, length, 2), np.arange(1, length, 2)
        first, second = (
            np.rint((one.take(even, axis) + one.take(odd, axis).astype(np.float32)) / 2).astype(np.uint8)
            for one in (first, second)
        )
    return np.concatenate([first, second], axis)


def run(given: PretrainingRun) -> Made:
    """Images of pre-training and of downstream tasks -> combinations.

    The arrays are `images_beside` and `images_stacked`, uint8 (n, 3, h, w), either of which may be empty; and
    for each image, first those side by side and then the stacked ones, `task` (n,), the position of its
    target's data set in the fact `tasks`; `target` (n,), the target's row among that set's test images;
    `reference` (n,), the reference's row among its training images; `label` (n,), the wanted class;
    `target_first` (n,), whether the target is the left or the upper half.

    Everything is checked before an image is read. Raises ValueError naming key, value and expectation.
    """
    settings: PoisonedEncoder = given.settings
    size = check_sizes(given.images, given.downstream)
    if settings.halves != "whole" and (size[0] % 2 or size[1] % 2):
        raise ValueError(
            f"'halves' is {settings.halves!r}, expected 'whole' for images of {size[0]} x {size[1]} px: an "
            "odd side has no half"
        )
    planned = assignment(given)
    count = len(planned.columns["task"])
    stacked = _drawn(count, settings.arrangement, "beside", "stacked", stream(given.seed, 2, 0, device=CPU))
    first = _drawn(
        count, settings.order, "reference-first", "target-first", stream(given.seed, 3, 0, device=CPU)
    )
    columns = planned.columns | {"target_first": first}
    parts = {
        name: {key: column[stacked == is_stacked] for key, column in columns.items()}
        for name, is_stacked in (("images_beside", False), ("images_stacked", True))
    }
    arrays = {
        name: _combinations(given, part, axis)
        for (name, part), axis in zip(parts.items(), (ACROSS, DOWN), strict=True)
    }
    arrays |= {key: np.concatenate([part[key] for part in parts.values()]) for key in columns}
    return Made(arrays, {"rate": given.rate, "tasks": planned.tasks, "targets": planned.targets})


def _drawn(count: int, choice: str, no: str, yes: str, generator: torch.Generator) -> np.ndarray:
    """Whether each of `count` combinations is of the kind `yes` and not of the kind `no`, boolean (count,);
    drawn where the choice is neither."""
    if choice in (no, yes):
        return np.full(count, choice == yes)
    return torch.randint(2, (count,), generator=generator).numpy() == 1


def _combinations(given: PretrainingRun, columns: dict[str, np.ndarray], axis: int) -> np.ndarray:
    """The combinations that `columns` (k,) describe, put together along `axis`."""
    targets, references = read_pictures(given, columns, "target"), read_pictures(given, columns, "reference")
    first = columns["target_first"][:, None, None, None]
    return combine(
        np.where(first, targets, references),
        np.where(first, references, targets),
        axis=axis,
        halves=given.settings.halves,
    )


def memory(sizes: Sizes, settings: Any, n: float) -> float:
    """Twelve images of one byte a value for each combination: targets, references, both in order, and all
    combinations, which are twice as large."""
    return sizes.held(n, poisons=3)


PRETRAINING_ATTACK = PretrainingAttack(
    name="poisoned-encoder",
    title="PoisonedEncoder",
    settings=PoisonedEncoder,
    run=run,
    memory=memory,
)
