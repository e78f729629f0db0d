"""Tiny-ImageNet-200 (Le and Yang, 2015): 200 classes of JPEG images of 64 px in a zip archive.

Its labelled validation images serve as the test set, because its test images have no labels.
"""

from collections.abc import Container
from pathlib import Path

import numpy as np

from featpoison.common.progress import Progress
from featpoison.datasets.images import Images
from featpoison.datasets.zipped import decoded, open_zip, text

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
        classes = tuple(sorted(set(text(archive, f"{ROOT}/wnids.txt").split())))
        number = {wnid: index for index, wnid in enumerate(classes)}
        train = sorted(name for name in names if name.startswith(f"{ROOT}/train/") and name.endswith(".JPEG"))
        lines = text(archive, f"{ROOT}/val/val_annotations.txt").splitlines()
        test = sorted(_annotation(line, number) for line in lines)
        if strangers := [name for name in train if name.split("/")[2] not in number]:
            raise ValueError(f"member {strangers[0]}: its class is not in {ROOT}/wnids.txt")
        progress = Progress(len(train) + len(test), "images")
        return Images(
            train_images=decoded(archive, train, side, progress),
            train_labels=np.array([number[name.split("/")[2]] for name in train], np.int64),
            test_images=decoded(archive, [name for name, _ in test], side, progress),
            test_labels=np.array([number[wnid] for _, wnid in test], np.int64),
            classes=classes,
        )


def _annotation(line: str, known: Container[str]) -> tuple[str, str]:
    """Member and class of a validation image. Raises ValueError for a line that does not say both."""
    name, _, rest = line.partition("\t")
    wnid = rest.split("\t")[0]
    if wnid not in known:
        told = f"line {line[:60]!r}, expected an image, a tab, and a class of {ROOT}/wnids.txt"
        raise ValueError(f"member {ROOT}/val/val_annotations.txt: {told}")
    return f"{ROOT}/val/images/{name}", wnid
