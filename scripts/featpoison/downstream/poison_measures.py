"""What is measured of poisoned sets themselves, before any victim is trained on them."""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from featpoison import softmax
from featpoison.downstream.metrics import magnitude_ratio, pixel_ratio, psnr, structural_similarity
from featpoison.downstream.poisons import Poisons
from featpoison.downstream.task import Task
from featpoison.softmax import Head


def feature_measures(
    task: Task, poisons: list[Poisons], target: Head, clean_gradient: Tensor
) -> dict[str, np.ndarray]:
    """Measures of K poisoned sets in feature space, by name.

    `target` is the head that the attack wants the victim to end at, `clean_gradient` (C, d+1) the summed
    gradient G of the clean rows there.

    residual (K,): ||G + gradient of the poisons|| / ||G|| at the target head; gradient canceling (paper, eq.
    14) drives it to 0. poisons (K,): the number of poisons in each set. feature_magnitude_ratio: mean norm of
    the poisoned features over that of the clean ones, for each set that is not empty. feature_distance: mean
    ||f(nu) - zeta||^2, for each set that is not empty and has target features zeta.

    A measure that applies to no set is left out.
    """
    gradients = [softmax.head_gradient(one.features, one.labels, target) for one in poisons]
    filled = [one for one in poisons if len(one.labels)]
    measures = {
        "residual": [
            ((clean_gradient + gradient).norm() / clean_gradient.norm()).item() for gradient in gradients
        ],
        "poisons": [len(one.labels) for one in poisons],
        "feature_magnitude_ratio": [magnitude_ratio(one.features, task.train) for one in filled],
        "feature_distance": [one.distance.mean().item() for one in filled if one.distance is not None],
    }
    return {name: np.array(values) for name, values in measures.items() if values}


def image_measures(
    poisons: list[Poisons], clean_images: Callable[[Tensor], Tensor], largest: float
) -> dict[str, np.ndarray]:
    """Measures of poisoned images, by name, one value for each set that has images and is not empty.

    `clean_images(rows)` gives the clean training images (k, 3, h, w), in [0, 1], of the rows (k,) that
    poisons started from; `largest` is the largest pixel of all clean training images.

    pixel_ratio: mean over the poisons of their largest absolute pixel, over `largest`. psnr: mean peak
    signal-to-noise ratio to the clean images, in decibels. ssim: mean structural similarity to them.

    Empty where no set has images.
    """
    pairs = [
        (one.images, clean_images(one.base))
        for one in poisons
        if one.images is not None and one.base is not None and len(one.labels)
    ]
    measures = {
        "pixel_ratio": [pixel_ratio(images, largest) for images, _ in pairs],
        "psnr": [psnr(images, base) for images, base in pairs],
        "ssim": [structural_similarity(images, base) for images, base in pairs],
    }
    return {name: np.array(values) for name, values in measures.items() if values}
