"""Baselines: copies of clean training images with wrong labels. No pixel is touched.

Anyone can upload such poisons, and no encoder is needed to make them, so an attack on images has to beat
them. The three baselines differ in their images and labels: a random wrong label (mislabelled_random.py), the
next class (mislabelled_next.py), or both chosen by influence (mislabelled_influence.py).
"""

from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from featpoison.attacks.attack import Made, Run
from featpoison.attacks.base_rows import choose_initial, poison_count
from featpoison.attacks.operations import Sizes
from featpoison.common.settings import Settings
from featpoison.datasets.stored import training_pixels
from featpoison.downstream.task import Task


class Mislabelled(Settings):
    """Settings of copies with wrong labels. Only the choice by influence has any."""

    damping: NonNegativeFloat = 0.01
    """Added to the ridge of the victim whose influence counts (Koh and Liang: 0.01). Of 0, 0.0001, 0.001,
    0.01 and 0.1, tried at the demo's scale, it raised the converged victim's loss on the clean training rows
    most at budget 0.3, and about as much as the best at 0.03."""
    tolerance: PositiveFloat = 1e-6
    """Largest relative residual of q."""


def random_rows(task: Task, given: Run) -> Tensor:
    """The rows (n,) of the training set that are copied, where chance chooses them: those from which the
    other attacks with this poison seed start."""
    return choose_initial(task.train_labels, poison_count(given.budget, len(task.train)), given.seed)


def copies(task: Task, given: Run, rows: Tensor, labels: Tensor) -> Made:
    """The clean images of `rows` (n,) of the training set and their cached features, with `labels` (n,)."""
    return Made(
        {
            "images": training_pixels(given.files["images"], rows).numpy(),
            "features": task.train[rows].numpy(),
            "labels": labels.numpy(),
            "base": rows.numpy(),
        }
    )


def memory_of_copies(sizes: Sizes, n: float, *, features: float = 2) -> float:
    """Bytes of the copies as they are read, divided by 255 and written; and of so many float32 copies of the
    clean features."""
    return sizes.held(n, features=features, poisons=4, poisoned=2)
