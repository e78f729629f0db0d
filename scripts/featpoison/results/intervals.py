"""Means with their uncertainty."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % interval; the ends are None where a single value allows none."""

    mean: float
    low: float | None
    high: float | None


def interval(values: np.ndarray, level: float = 0.95) -> Interval:
    """Student-t interval of the mean of independent `values` (k,)."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, None, None)
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)
