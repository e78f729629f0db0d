"""Tiny-ImageNet-200 (Le and Yang, 2015): 200 classes of JPEG images of 64 px in a zip archive.

Its labelled validation images serve as the test set, because its test images have no labels.
"""

from pathlib import Path

import numpy as np

from featpoison.common.progress import Progress
from featpoison.datasets.images import Images
from featpoison.datasets.zipped import decoded, open_zip

ROOT = "tiny-imagenet-200"


def read_archive(path: Path, side: int) -> Images:
    """All labelled images, averaged to `side` px.

    Classes are those of wnids.txt, sorted; images are in the order of their names. Raises ValueError for what
    is no whole zip archive, has not the official layout, or holds a member that is no whole image.
    """
    with open_zip(path) as archive:
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
            train_images=decoded(archive, train, side, progress),
            train_labels=np.array([number[name.split("/")[2]] for name in train], np.int64),
            test_images=decoded(archive, [name for name, _ in test], side, progress),
            test_labels=np.array([number[wnid] for _, wnid in test], np.int64),
            classes=classes,
        )
