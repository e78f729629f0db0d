"""Fashion-MNIST (Xiao, Rasul and Vollgraf, arXiv 1708.07747): four gzip files in MNIST's idx layout, grey images of 28 x 28 px.

Images are padded with two pixels of background (0, black) on each side to 32 x 32 px, and their grey plane is repeated three times: no
pixel is interpolated, and encoders for 32 px take them.
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
CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def read_archives(paths: Mapping[str, Path]) -> Images:
    """The images of the four FILES. Raises ValueError naming the file whose magic number, shape or length is not the expected one."""
    arrays = {}
    for part in ("train", "test"):
        images, labels = paths[f"{part}_images"], paths[f"{part}_labels"]
        arrays[f"{part}_images"] = _three_planes(images, parse_idx(gzipped.read(images), 3, images))
        arrays[f"{part}_labels"] = found = parse_idx(gzipped.read(labels), 1, labels).astype(np.int64)
        if len(found) and found.max() >= len(CLASSES):
            raise ValueError(f"{labels}: labels run from {found.min()} to {found.max()}, expected 0 to {len(CLASSES) - 1}")
        if len(found) != len(arrays[f"{part}_images"]):
            raise ValueError(f"{labels}: {len(found)} labels, expected {len(arrays[f'{part}_images'])}: one for each image of {images.name}")
    return Images(**arrays, classes=CLASSES)


def parse_idx(data: bytes, dimensions: int, path: Path) -> np.ndarray:
    """The uint8 array of an idx file: two zero bytes, 8 (unsigned byte), the number of dimensions; each length, big-endian; the values."""
    magic, start = bytes([0, 0, 8, dimensions]), 4 + 4 * dimensions
    if data[:4] != magic:
        raise ValueError(f"{path}: begins with {data[:4].hex()}, expected {magic.hex()}: idx, bytes, {dimensions} dimensions")
    if len(data) < start:
        raise ValueError(f"{path}: ends after {len(data)} bytes, expected a header of {start}")
    shape = tuple(int.from_bytes(data[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(dimensions))
    if len(data) - start != math.prod(shape):
        raise ValueError(f"{path}: {len(data) - start} values, expected {math.prod(shape)} of shape {shape}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _three_planes(path: Path, grey: np.ndarray) -> np.ndarray:
    if grey.shape[1:] != (SIDE, SIDE):
        raise ValueError(f"{path}: images of {grey.shape[1:]}, expected {(SIDE, SIDE)}")
    padded = np.pad(grey, ((0, 0), (PADDING, PADDING), (PADDING, PADDING)))
    return np.repeat(padded[:, None], 3, axis=1)
