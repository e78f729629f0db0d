"""EuroSAT (Helber et al., 2019, https://arxiv.org/abs/1709.00029) in red, green and blue: 27,000 satellite
images of 64 x 64 px in ten classes of land use.

The zip archive holds JPEG images 2750/CLASS/CLASS_NUMBER.jpg and no split into training and test images. Here
every fifth image of a class, in the order of the numbers, is a test image: 5,400 of all, and as large a part
of every class. Classes are sorted by name, as torchvision's are.
"""

import re
from pathlib import Path

import numpy as np

from featpoison.common.progress import Progress
from featpoison.datasets.images import Images
from featpoison.datasets.zipped import decoded, open_zip

SIDE = 64
FIFTH = 5
MEMBER = re.compile(r"2750/([^/]+)/\1_(\d+)\.jpg")


def read_archive(path: Path, side: int | None) -> Images:
    """All images, averaged to `side` px where it is given.

    Raises ValueError for what is no whole zip archive, has not the official layout, or holds a member that is
    no whole image.
    """
    with open_zip(path) as archive:
        found = [member for name in archive.namelist() if (member := MEMBER.fullmatch(name))]
        numbers: dict[str, list[tuple[int, str]]] = {}
        for member in found:
            numbers.setdefault(member[1], []).append((int(member[2]), member[0]))
        classes = tuple(sorted(numbers))
        parts: dict[str, list[tuple[str, int]]] = {"train": [], "test": []}
        for label, name in enumerate(classes):
            for place, (_, image) in enumerate(sorted(numbers[name]), 1):
                parts["train" if place % FIFTH else "test"].append((image, label))
        if not parts["test"]:
            raise ValueError(
                "no class has five members 2750/CLASS/CLASS_NUMBER.jpg, expected EuroSAT's archive"
            )
        progress = Progress(len(found), "images")
        arrays = {
            f"{part}_images": decoded(archive, [image for image, _ in rows], side or SIDE, progress)
            for part, rows in parts.items()
        }
    labels = {f"{part}_labels": np.array([label for _, label in rows]) for part, rows in parts.items()}
    return Images(**arrays, **labels, classes=classes)
