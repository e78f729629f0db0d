"""Optical recognition of handwritten digits (Alpaydin and Kaynak, 1998, UCI Machine Learning Repository,
https://doi.org/10.24432/C50P49): 1,797 grey images of 8 x 8 px, as scikit-learn ships them in one file.

The gzip file `digits.csv.gz` has a line for each image: 64 brightnesses from 0 to 16, row by row, and the
digit. It has no split. Here the first 1,300 lines are training images and the others test images: lines of
one writer follow each other, so that nearly all test images are by writers whom training never saw.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from featpoison.datasets import gzipped
from featpoison.datasets.images import Images, averaged

SIDE = 8
BRIGHTEST = 16
TRAINING = 1_300
COUNT = 1_797
CLASSES = tuple(str(digit) for digit in range(10))


def read_archive(path: Path, side: int | None) -> Images:
    """All images; at a larger `side` each pixel becomes a block of equal ones. The grey plane is repeated
    three times.

    Raises ValueError naming the file for what is no gzip file, and what is wrong for other contents.
    """
    try:
        values = np.loadtxt(gzipped.read(path).decode().splitlines(), delimiter=",", dtype=np.int64, ndmin=2)
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"expected lines of integers and commas: {error}") from error
    if values.shape != (COUNT, SIDE * SIDE + 1):
        raise ValueError(f"{values.shape} lines and columns, expected {(COUNT, SIDE * SIDE + 1)}")
    pixels, labels = values[:, :-1], values[:, -1]
    for name, column, largest in (("brightnesses", pixels, BRIGHTEST), ("digits", labels, len(CLASSES) - 1)):
        if column.min() < 0 or column.max() > largest:
            raise ValueError(f"{name} run from {column.min()} to {column.max()}, expected 0 to {largest}")
    grey = np.rint(pixels * (255 / BRIGHTEST)).astype(np.uint8).reshape(-1, SIDE, SIDE)
    images = np.stack([averaged(Image.fromarray(one), side or SIDE) for one in grey])
    return Images(
        train_images=images[:TRAINING],
        train_labels=labels[:TRAINING],
        test_images=images[TRAINING:],
        test_labels=labels[TRAINING:],
        classes=CLASSES,
    )
