"""Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017, https://arxiv.org/abs/1708.07747), grey images of 28 x 28
px.

There are four gzip files in MNIST's idx layout. Images get two pixels of background (0, black) on each side,
so that encoders for 32 px take them, and their grey plane is repeated three times. No pixel is interpolated.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from featpoison.datasets import gzipped
from featpoison.datasets.images import Images

FILES = ("train_images", "train_labels", "test_images", "test_labels")
SIDE = 28
PADDING = 2
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def read_archives(paths: Mapping[str, Path]) -> Images:
    """The data set in the four FILES, whose paths are given by name.

    Raises ValueError naming the file whose magic number, shape or length is not the expected one.
    """
    arrays = {}
    for part in ("train", "test"):
        images, labels = paths[f"{part}_images"], paths[f"{part}_labels"]
        arrays[f"{part}_images"] = _three_planes(images, parse_idx(gzipped.read(images), 3, images))
        arrays[f"{part}_labels"] = found = parse_idx(gzipped.read(labels), 1, labels).astype(np.int64)
        if len(found) and found.max() >= len(CLASSES):
            raise ValueError(
                f"{labels}: labels run from {found.min()} to {found.max()}, expected 0 to {len(CLASSES) - 1}"
            )
        if len(found) != len(arrays[f"{part}_images"]):
            raise ValueError(
                f"{labels}: {len(found)} labels, expected {len(arrays[f'{part}_images'])}: "
                f"one for each image of {images.name}"
            )
    return Images(**arrays, classes=CLASSES)


def parse_idx(data: bytes, dimensions: int, path: Path) -> np.ndarray:
    """The uint8 array, with this number of dimensions, in the contents `data` of an idx file.

    An idx file has two zero bytes, the byte 8 for unsigned bytes, the number of dimensions, the length of
    each dimension as four bytes, big-endian, and the values. Raises ValueError naming `path` for anything
    else.
    """
    magic, start = bytes([0, 0, 8, dimensions]), 4 + 4 * dimensions
    if data[:4] != magic:
        raise ValueError(
            f"{path}: begins with {data[:4].hex()}, expected {magic.hex()}: "
            f"idx, bytes, {dimensions} dimensions"
        )
    if len(data) < start:
        raise ValueError(f"{path}: ends after {len(data)} bytes, expected a header of {start}")
    shape = tuple(int.from_bytes(data[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(dimensions))
    if len(data) - start != math.prod(shape):
        raise ValueError(f"{path}: {len(data) - start} values, expected {math.prod(shape)} of shape {shape}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _three_planes(path: Path, grey: np.ndarray) -> np.ndarray:
    """Grey images (n, 28, 28) as uint8 (n, 3, 32, 32). Raises ValueError naming `path` for another size."""
    if grey.shape[1:] != (SIDE, SIDE):
        raise ValueError(f"{path}: images of {grey.shape[1:]}, expected {(SIDE, SIDE)}")
    padded = np.pad(grey, ((0, 0), (PADDING, PADDING), (PADDING, PADDING)))
    return np.repeat(padded[:, None], 3, axis=1)
