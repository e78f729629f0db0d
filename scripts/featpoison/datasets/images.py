"""One layout for every image data set."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Images:
    """A labelled image data set in memory: images uint8 (n, 3, side, side), labels int64 (n,)."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raises ValueError where the parts do not fit together."""
        for part, images, labels in (
            ("train", self.train_images, self.train_labels),
            ("test", self.test_images, self.test_labels),
        ):
            if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3:
                raise ValueError(f"{part} images are {images.dtype} {images.shape}, expected uint8 (n, 3, height, width)")
            if labels.shape != images.shape[:1]:
                raise ValueError(f"{part}: {len(images)} images but labels of shape {labels.shape}")
            if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.classes):
                raise ValueError(f"{part} labels run from {labels.min()} to {labels.max()}, expected 0 to {len(self.classes) - 1}")

    def arrays(self) -> dict[str, np.ndarray]:
        """The four arrays by name, as they are stored."""
        return {name: getattr(self, name) for name in ("train_images", "train_labels", "test_images", "test_labels")}


def balanced_subset(labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    """Sorted indices of `per_class` random rows of each class (PCG64 stream of `seed`); ValueError where a class has too few."""
    generator = np.random.default_rng(seed)
    chosen = []
    for value in np.unique(labels):
        rows = np.flatnonzero(labels == value)
        if len(rows) < per_class:
            raise ValueError(f"class {value} has {len(rows)} images, {per_class} were asked for")
        chosen.append(generator.choice(rows, per_class, replace=False))
    return np.sort(np.concatenate(chosen))
