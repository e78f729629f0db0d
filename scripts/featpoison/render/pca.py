"""The plane in which features are drawn: the two largest principal components of the clean training
features."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Plane:
    """An affine map (n, d) -> (n, 2), and the share of the clean features' variance that it keeps."""

    mean: np.ndarray
    axes: np.ndarray
    share: float

    def project(self, features: np.ndarray) -> np.ndarray:
        """(n, d) -> (n, 2), float64."""
        return (features.astype(np.float64) - self.mean) @ self.axes


def fit(clean: np.ndarray) -> Plane:
    """The plane of `clean` (N, d); each axis points to where its largest component is positive, so that the
    picture has one orientation."""
    clean = clean.astype(np.float64)
    mean = clean.mean(0)
    values, vectors = np.linalg.eigh(np.cov(clean - mean, rowvar=False))
    axes = vectors[:, [-1, -2]]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), [0, 1]])
    return Plane(mean, axes, float(values[-2:].sum() / values.sum()))
