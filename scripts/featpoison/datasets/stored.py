"""Reading the image files of the stage `data/images/`: one HDF5 file for each data set, written by
`fetch_dataset.py`.

Such a file holds `train_images` and `test_images`, uint8 (n, 3, height, width), their labels `train_labels`
and `test_labels`, int64 (n,), and the class names as the attribute `classes`. Every function here raises
FileNotFoundError where there is no file, and StoreError where the file is damaged or holds something else;
both name the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from featpoison import store

if TYPE_CHECKING:  # torch takes seconds to import, and figures do without it
    from torch import Tensor


def training_images(path: Path, rows: np.ndarray) -> np.ndarray:
    """The training images of these rows, float32 (k, 3, height, width) in [0, 1].

    `rows`: integers (k,) in any order, repeated or not. Raises StoreError for a row that does not exist. Only
    the chunks of the file that hold these rows are read.
    """
    pixels = store.read(path, "train_images", rows=rows)["train_images"].astype(np.float32)
    pixels /= np.float32(255)
    return pixels


def training_pixels(path: Path, rows: Tensor | np.ndarray) -> Tensor:
    """`training_images` as a tensor on the CPU."""
    import torch

    indices = rows.cpu().numpy() if isinstance(rows, torch.Tensor) else rows
    return torch.from_numpy(training_images(path, indices))


def pixel_range(path: Path) -> tuple[float, float]:
    """The smallest and the largest value of any training pixel, both in [0, 1].

    Raises ValueError where there are no images.
    """
    low, high = store.extent(path, "train_images")
    return float(low) / 255, float(high) / 255


def largest_pixel(path: Path) -> float:
    """The largest value of any training pixel, in [0, 1].

    Raises ValueError where there are no training images.
    """
    return pixel_range(path)[1]


def class_names(path: Path) -> tuple[str, ...]:
    """The names of the classes; label i belongs to name i.

    Raises KeyError where the file has no class names.
    """
    return tuple(store.read_attributes(path)["classes"])
