"""How often two random crops of one combined image show its different halves.

A combination of h x w pixels has two halves, one before and one after the middle of its long side (of a
square, of the side along which they were put together). A crop *shows mostly* a half where at least the share
a of its area lies in it, 1/2 < a <= 1. Two crops that show mostly different halves are a *cross pair*:
contrastive training then pulls together what one half and what the other half shows, and other pairs do
nothing for the attack. Crops are drawn as `pretraining/augment.py` draws them.

Derivation for halves side by side; for stacked ones height and width change places.

1. *Size of a crop.* With A = h w, the area s A and the aspect ratio e^t are drawn, s uniform in [s0, s1] and
   t uniform in [t0, t1]. The crop is c = sqrt(s A e^t) wide and b = sqrt(s A e^-t) high. In reverse
   s = b c / A and t = ln c - ln b, so that

       ds dt = |det d(s, t)/d(c, b)| dc db = |(b/A)(-1/b) - (c/A)(1/c)| dc db = (2/A) dc db:

   where s and t allow them, all sizes are equally likely. Sizes are rounded to pixels, and sizes beyond the
   image are drawn again, which cuts the distribution to c <= w and b <= h. This is why the shape of a
   combination matters: its crops are about as wide as high, and at 2 : 1 they are no wider than about half of
   it.

2. *Place of a crop.* Its left edge x is uniform in 0, 1, ..., w - c. It shows mostly the first half where
   w/2 - x >= a c, which x + c <= w/2 implies. These are floor(w/2 - a c) + 1 places, or none, hence

       p(c) = max(0, floor(w/2 - a c) + 1) / (w - c + 1),

   and as many places show mostly the second half. In units of w, u = c/w, that is (1/2 - a u) / (1 - u): 1/2
   for small crops, and 0 from u = 1/(2a) on. With p the mean of p(c) over the sizes,

       P(cross pair) = 2 p^2,

   because the two crops of a pair are independent. It is at most 1/2.

3. *No size fits.* After ten draws beyond the image the crop is the largest allowed one in the middle. It
   shows both halves alike, and counts for neither unless a is very near 1/2.

The mean over s and t is computed here on a grid of midpoints; a test draws crops and counts.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import Field, PositiveInt

from featpoison.common.settings import Settings
from featpoison.pretraining.augment import CROP_TRIES, Augmentation
from featpoison.pretraining.poison_files import Kind, PoisonFile

GRID = 1000
"""Midpoints along s and along t; twice as many change the probabilities by less than 0.00005."""


def half_probabilities(
    size: tuple[int, int], settings: Augmentation, *, stacked: bool, share: float
) -> tuple[float, float]:
    """The probabilities that a random crop shows mostly the first half, and mostly the second.

    `size` is the combination's height and width in pixels. Its halves are the left and the right one, or the
    upper and the lower one where `stacked`. `share` is a, how much of a crop has to lie in a half. The two
    differ only by crops in the middle that are an odd number of pixels away from both ends. Both are 0 where
    the settings have no crops, because every view then shows both halves. Raises ValueError for a share that
    is not above 1/2 and at most 1.
    """
    if not 0.5 < share <= 1:
        raise ValueError(f"'share' is {share}, expected more than 0.5 and at most 1")
    if settings.crop_scale is None:
        return 0.0, 0.0
    rows, columns = size
    middle = (np.arange(GRID) + 0.5) / GRID
    low, high = settings.crop_scale
    narrowest, widest = settings.crop_ratio
    area = (low + (high - low) * middle) * rows * columns  # (GRID,)
    ratio = np.exp(math.log(narrowest) + math.log(widest / narrowest) * middle)[:, None]  # (GRID, 1)
    heights, widths = np.rint(np.sqrt(area / ratio)), np.rint(np.sqrt(area * ratio))  # (GRID, GRID)
    fits = (heights > 0) & (heights <= rows) & (widths > 0) & (widths <= columns)
    length = rows if stacked else columns
    lengths = (heights if stacked else widths)[fits]
    places = np.floor(length / 2 - share * lengths + 1e-9) + 1
    one = float((places.clip(min=0) / (length - lengths + 1)).mean()) if lengths.size else 0.0
    never = float(1 - fits.mean()) ** CROP_TRIES
    largest = min(rows, round(columns / narrowest)) if stacked else min(columns, round(rows * widest))
    before = (length - largest) // 2
    shown = length / 2 - before  # pixels of the first half in the crop in the middle
    first, second = (float(part >= share * largest) for part in (shown, largest - shown))
    return (1 - never) * one + never * first, (1 - never) * one + never * second


def cross_probability(size: tuple[int, int], settings: Augmentation, *, stacked: bool, share: float) -> float:
    """The probability that two independent random crops of one combination are a cross pair.

    Arguments and errors are those of `half_probabilities`.
    """
    first, second = half_probabilities(size, settings, stacked=stacked, share=share)
    return 2 * first * second


def expected_cross_pairs(combinations: float, epochs: int, probability: float) -> float:
    """How many cross pairs of one target training sees, expected.

    The target has so many `combinations`: the rate times the clean images, divided by the targets. Every one
    gives a pair of views in each epoch, but for the few that are left out because they fill no batch.
    """
    return combinations * epochs * probability


class Exposure(Settings):
    """What a training saw of its poisons."""

    epochs: PositiveInt
    """Passes over its images."""
    augmentation: Augmentation
    """The crops among others."""
    subset: PositiveInt | None
    """So many of all images were drawn at random; null: all."""
    share: float = Field(gt=0.5, le=1)
    """How much of a crop has to lie in a half to show mostly that half."""


SIDES = {"images_beside": False, "images_stacked": True}
"""The datasets of combinations in a poisoning set, and whether their halves lie one above the other."""


def expected_of_each(kinds: Mapping[str, Kind], clean: int, seen: Exposure) -> dict[str, float]:
    """The cross pairs that a training is expected to see of one image of each kind, of a whole poisoning set.

    `clean` is the number of clean images that the set was put among, of which a subset takes its part too.
    Images that are no combinations have no cross pairs.
    """
    total = clean + sum(kind.count for kind in kinds.values())
    part = 1.0 if seen.subset is None else seen.subset / total
    expected = {}
    for name, kind in kinds.items():
        probability = 0.0
        if name in SIDES and kind.count:
            size = (kind.height, kind.width)
            probability = cross_probability(size, seen.augmentation, stacked=SIDES[name], share=seen.share)
        expected[name] = expected_cross_pairs(part, seen.epochs, probability)
    return expected


def expected_by_image(poisons: Path, clean: int, seen: Exposure) -> np.ndarray:
    """`expected_of_each` for every image of a poisoning set, in the order of its columns, float64 (n,)."""
    kinds = PoisonFile(poisons).kinds
    expected = expected_of_each(kinds, clean, seen)
    return np.concatenate([np.full(kind.count, expected[name]) for name, kind in kinds.items()])
