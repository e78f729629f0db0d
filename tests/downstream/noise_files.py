"""Files of EMN's stages that tests share."""

from pathlib import Path

import numpy as np
from featpoison import store
from helpers import RECORD

BASE = np.arange(1, 40, 2)


def write_images(folder: Path, images: np.ndarray) -> Path:
    """A data set of 40 training and 20 test images."""
    labels = np.arange(60) % 3
    arrays = {
        "train_images": images[:40],
        "train_labels": labels[:40],
        "test_images": images[40:],
        "test_labels": labels[40:],
    }
    store.write(folder / "images.h5", arrays, RECORD, classes=["a", "b", "c"])
    return folder / "images.h5"


def write_noise(path: Path, images: np.ndarray, variant: str, seed: int, base: np.ndarray = BASE) -> Path:
    """Uniform noise for the rows `base`, cut off where an image would leave [0, 1]."""
    generator = np.random.default_rng(seed)
    clean = images[base].astype(np.float32) / 255
    drawn = generator.uniform(-8 / 255, 8 / 255, clean.shape).astype(np.float32)
    arrays = {
        "noise": np.clip(drawn, -clean, 1 - clean),
        "labels": base % 3,
        "base": base,
        "error": np.array([0.5, 0.25 * seed]),
    }
    store.write(path, arrays, RECORD, variant=variant, by_criterion=seed == 0)
    return path
