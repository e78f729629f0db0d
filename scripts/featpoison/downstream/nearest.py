"""The training inputs that an encoder puts next to chosen inputs."""

import numpy as np


def nearest(train: np.ndarray, chosen: np.ndarray, count: int) -> np.ndarray:
    """The rows of the training features (N, d) with the largest cosines to each chosen feature (k, d), the
    nearest first, int64 (k, count).

    Raises ValueError where there are fewer than `count` rows.
    """
    if count > len(train):
        raise ValueError(f"'count' is {count}, expected at most the {len(train)} training rows")
    unit, wanted = (
        one / np.linalg.norm(one, axis=1, keepdims=True).clip(min=1e-12) for one in (train, chosen)
    )
    return np.argsort(-(wanted @ unit.T), axis=1, kind="stable")[:, :count]
