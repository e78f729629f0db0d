"""STL-10 (Coates, Ng and Lee, 2011): ten classes of images of 96 x 96 px, 5,000 to train on and 8,000 to
test.

The binary archive holds images as bytes 3 x 96 x 96, of each plane one column after the other, and labels as
bytes 1 to 10. Its 100,000 images without labels and its folds are not read.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from featpoison.common.progress import Progress
from featpoison.datasets.images import Images, averaged
from featpoison.datasets.tarred import read_members

SIDE = 96
MEMBERS = ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin", "class_names.txt")


def read_archive(path: Path, side: int | None) -> Images:
    """All labelled images, averaged to `side` px where it is given.

    Raises ValueError for what is no whole tar archive, or naming the member that is missing or damaged.
    """
    files = read_members(path, MEMBERS)
    for name in MEMBERS:
        if name not in files:
            raise ValueError(f"no member {name}, expected STL-10's binary archive")
    classes = tuple(files["class_names.txt"].decode().split())
    arrays = {}
    for part in ("train", "test"):
        labels = np.frombuffer(files[f"{part}_y.bin"], np.uint8).astype(np.int64) - 1
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
            raise ValueError(
                f"member {part}_y.bin: labels run from {labels.min() + 1} to {labels.max() + 1}, "
                f"expected 1 to {len(classes)}"
            )
        arrays[f"{part}_labels"] = labels
        arrays[f"{part}_images"] = _images(files.pop(f"{part}_X.bin"), len(labels), side, f"{part}_X.bin")
    return Images(**arrays, classes=classes)


def _images(data: bytes, count: int, side: int | None, name: str) -> np.ndarray:
    """The images of a member, uint8 (count, 3, side, side)."""
    expected = count * 3 * SIDE * SIDE
    if len(data) != expected:
        raise ValueError(f"member {name}: {len(data)} bytes, expected {expected}: an image for each label")
    stored = np.frombuffer(data, np.uint8).reshape(count, 3, SIDE, SIDE).transpose(0, 1, 3, 2)
    if side is None:
        return np.ascontiguousarray(stored)
    images = np.empty((count, 3, side, side), np.uint8)
    progress = Progress(count, "images")
    for index, image in enumerate(stored):
        images[index] = averaged(Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))), side)
        progress.advance(1)
    return images
