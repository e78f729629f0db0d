"""What is measured of poisoned sets themselves, before any victim is trained on them."""

from collections.abc import Callable, Iterable

import numpy as np
from torch import Tensor

from featpoison import softmax
from featpoison.downstream.metrics import magnitude_ratio, pixel_ratio, psnr, structural_similarity
from featpoison.downstream.poisons import Poisons
from featpoison.downstream.task import Task
from featpoison.softmax import Head


def feature_measures(
    task: Task, poisons: list[Poisons], targets: list[tuple[Head, Tensor]]
) -> dict[str, np.ndarray]:
    """Measures of K poisoned sets in feature space, by name.

    `targets`: for each set the head that the attack wants the victim to end at, and the summed gradient G
    (C, d+1) of the clean rows there; empty for an attack that has no target.

    residual (K,): ||G + gradient of the poisons|| / ||G|| at the target head; gradient canceling (paper, eq.
    14) drives it to 0. poisons (K,): the number of poisons in each set. For each set that is not empty:
    feature_magnitude_ratio, the mean norm of the poisoned features over that of the clean ones;
    negative_share, the share of their entries that are negative; where there are target features zeta,
    feature_distance, the mean ||f(nu) - zeta||^2; and where base rows are known, distinct_bases, how many
    different ones there are, and dirty_labels, how many poisons have another label than their base row.

    A measure that applies to no set is left out.
    """
    residuals = []
    for one, (target, G) in zip(poisons, targets, strict=bool(targets)):
        left = G + softmax.head_gradient(one.features, one.labels, target)
        residuals.append((left.norm() / G.norm()).item())
    filled = [one for one in poisons if len(one.labels)]
    based = [(one, one.base) for one in filled if one.base is not None]
    measures = {
        "residual": residuals,
        "poisons": [len(one.labels) for one in poisons],
        "feature_magnitude_ratio": [magnitude_ratio(one.features, task.train) for one in filled],
        "negative_share": [(one.features < 0).double().mean().item() for one in filled],
        "feature_distance": [one.distance.mean().item() for one in filled if one.distance is not None],
        "distinct_bases": [len(base.unique()) for _, base in based],
        "dirty_labels": [int((one.labels != task.train_labels[base]).sum()) for one, base in based],
    }
    return {name: np.array(values) for name, values in measures.items() if values}


def image_measures(
    poisons: Iterable[Poisons], clean_images: Callable[[Tensor], Tensor], largest: float
) -> dict[str, np.ndarray]:
    """Measures of poisoned images, by name, one value for each set that has images and is not empty. Only one
    set's clean images are held at a time.

    `clean_images(rows)` gives the clean training images (k, 3, h, w), in [0, 1], of the rows (k,) that
    poisons started from; `largest` is the largest pixel of all clean training images.

    pixel_ratio: mean over the poisons of their largest absolute pixel, over `largest`. psnr: mean peak
    signal-to-noise ratio to the clean images, in decibels. ssim: mean structural similarity to them.

    Empty where no set has images.
    """
    measures: dict[str, list[float]] = {"pixel_ratio": [], "psnr": [], "ssim": []}
    for one in poisons:
        if one.images is not None and one.base is not None and len(one.labels):
            base = clean_images(one.base)
            measures["pixel_ratio"].append(pixel_ratio(one.images, largest))
            measures["psnr"].append(psnr(one.images, base))
            measures["ssim"].append(structural_similarity(one.images, base))
    return {name: np.array(values) for name, values in measures.items() if values}
