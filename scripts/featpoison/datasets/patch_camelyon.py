"""PatchCamelyon (Veeling et al., 2018): patches of 96 x 96 px from lymph nodes.

The label says whether the central 32 x 32 px have tumour tissue. Each split has a gzipped HDF5 file of images
(`x`, uint8 (n, 96, 96, 3)) and one of labels (`y`, uint8 (n, 1, 1, 1)). The validation split is not read:
training takes a random part of the training split, and accuracies are those of the test split.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from featpoison import store
from featpoison.common.progress import Progress
from featpoison.datasets import gzipped
from featpoison.datasets.images import Images, averaged

FILES = ("train_x", "train_y", "test_x", "test_y")
SIDE = 96
BLOCK = 256
CLASSES = ("normal", "tumor")


def read_archives(
    paths: Mapping[str, Path], folder: Path, side: int | None, choose: Callable[[int], np.ndarray]
) -> Images:
    """The training images with the indices `choose(n)` out of n, and all test images.

    `paths` are those of FILES by name. Images are averaged to `side` px where it is given. Files are unpacked
    in `folder` and removed again. Raises ValueError naming the file whose datasets are not the expected ones.
    """
    arrays = {}
    for part, chosen in (("train", choose), ("test", np.arange)):
        labels = _labels(paths[f"{part}_y"], folder)
        rows = chosen(len(labels))
        arrays[f"{part}_labels"] = labels[rows]
        arrays[f"{part}_images"] = _images(paths[f"{part}_x"], folder, len(labels), rows, side)
    return Images(**arrays, classes=CLASSES)


def _labels(path: Path, folder: Path) -> np.ndarray:
    """All labels of a file, int64 (n,). Raises ValueError naming the gzip file."""
    with _unpacked(path, folder, "y") as stored:
        if stored.shape[1:] != (1, 1, 1) or stored.dtype != np.uint8:
            raise ValueError(f"{path}: 'y' is {stored.dtype} {stored.shape}, expected uint8 (n, 1, 1, 1)")
        labels = stored[0 : len(stored)].reshape(-1).astype(np.int64)
    if len(labels) and labels.max() >= len(CLASSES):
        raise ValueError(
            f"{path}: labels run from {labels.min()} to {labels.max()}, expected 0 to {len(CLASSES) - 1}"
        )
    return labels


def _images(path: Path, folder: Path, count: int, rows: np.ndarray, side: int | None) -> np.ndarray:
    """The images of these rows, uint8 (k, 3, side, side), read block by block.

    Raises ValueError naming the gzip file.
    """
    images = np.empty((len(rows), 3, side or SIDE, side or SIDE), np.uint8)
    progress = Progress(len(rows), "images")
    with _unpacked(path, folder, "x") as stored:
        if stored.shape != (count, SIDE, SIDE, 3) or stored.dtype != np.uint8:
            raise ValueError(
                f"{path}: 'x' is {stored.dtype} {stored.shape}, "
                f"expected uint8 {(count, SIDE, SIDE, 3)}: one for each label"
            )
        for start in range(0, len(rows), BLOCK):
            taken = stored.take(rows[start : start + BLOCK])
            for place, picture in enumerate(taken, start):
                images[place] = (
                    picture.transpose(2, 0, 1) if side is None else averaged(Image.fromarray(picture), side)
                )
            progress.advance(len(taken))
    return images


@contextmanager
def _unpacked(path: Path, folder: Path, name: str) -> Iterator[store.Stored]:
    """The dataset `name` of a gzipped HDF5 file, which is unpacked in `folder` for as long as the block runs.

    Errors name the gzip file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as scratch:
        target = Path(scratch) / path.with_suffix("").name
        gzipped.unpack(path, target)
        try:
            with store.rows(target, name) as stored:
                yield stored
        except store.StoreError as error:
            raise ValueError(f"{path}: unpacked, {str(error).removeprefix(f'{target}: ')}") from error
