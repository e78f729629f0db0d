"""The poisons that figures show, read from their files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from featpoison import store


@dataclass(frozen=True)
class Shown:
    """Poisons of one beta: images (k, 3, h, w) float, and the index of their base images."""

    beta: float
    eps_d: float
    images: np.ndarray
    base: np.ndarray


def read_shown(poisons: list[Path], count: int | None = None) -> list[Shown]:
    """The first `count` poisons (all without it) of each file."""
    rows = None if count is None else slice(0, count)
    result = []
    for path in poisons:
        arrays = store.read(path, "images", "base", rows=rows)
        beta = store.read_provenance(path)["settings"]["beta"]
        result.append(Shown(beta, store.read_attributes(path)["eps_d"], arrays["images"], arrays["base"]))
    return result


def sizes(part: Shown) -> np.ndarray:
    """The largest pixel magnitude of each poison, (k,)."""
    return np.abs(part.images).max((1, 2, 3))


def first_distinct(values: np.ndarray, count: int) -> np.ndarray:
    """The rows where the first `count` distinct values appear for the first time, in order."""
    return np.sort(np.unique(values, return_index=True)[1])[:count]
