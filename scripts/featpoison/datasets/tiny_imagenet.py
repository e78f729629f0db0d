"""Tiny-ImageNet-200 (Le and Yang, 2015): 200 classes of JPEG images of 64 px in a zip archive.

Its labelled validation images serve as the test set, because its test images have no labels.
"""

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from featpoison.common.progress import Progress
from featpoison.datasets.images import Images, averaged

ROOT = "tiny-imagenet-200"


def read_archive(path: Path, side: int) -> Images:
    """All labelled images, averaged to `side` px.

    Classes are those of wnids.txt, sorted; images are in the order of their names. Raises ValueError for what
    is no whole zip archive or has not the official layout.
    """
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ValueError(f"damaged, expected a whole zip archive: {error}") from error
    with archive:
        names = set(archive.namelist())
        for needed in (f"{ROOT}/wnids.txt", f"{ROOT}/val/val_annotations.txt"):
            if needed not in names:
                raise ValueError(f"no member {needed}, expected the official Tiny-ImageNet-200 archive")
        classes = tuple(sorted(archive.read(f"{ROOT}/wnids.txt").decode().split()))
        number = {wnid: index for index, wnid in enumerate(classes)}
        train = sorted(name for name in names if name.startswith(f"{ROOT}/train/") and name.endswith(".JPEG"))
        rows = [
            line.split("\t") for line in archive.read(f"{ROOT}/val/val_annotations.txt").decode().splitlines()
        ]
        test = sorted((f"{ROOT}/val/images/{row[0]}", row[1]) for row in rows)
        progress = Progress(len(train) + len(test), "images")
        return Images(
            train_images=_decode(archive, train, side, progress),
            train_labels=np.array([number[name.split("/")[2]] for name in train], np.int64),
            test_images=_decode(archive, [name for name, _ in test], side, progress),
            test_labels=np.array([number[wnid] for _, wnid in test], np.int64),
            classes=classes,
        )


def _decode(archive: zipfile.ZipFile, names: list[str], side: int, progress: Progress) -> np.ndarray:
    """The images in these members, uint8 (n, 3, side, side); grey images become three equal planes."""
    images = np.empty((len(names), 3, side, side), np.uint8)
    for index, name in enumerate(names):
        images[index] = averaged(Image.open(io.BytesIO(archive.read(name))), side)
        progress.advance(1)
    return images
