"""The file of a poisoning set: images that someone put among the images of pre-training.

Its datasets `images...`, such as `images_beside`, are uint8 (n, 3, h, w), each of one size, which may be
another than that of the clean images. What else it holds says where the images are from, a row for each image
in the order of these datasets' names.
"""

from pathlib import Path

import torch
from torch import Tensor

from featpoison import store

PREFIX = "images"


def read_poison_sets(path: Path) -> list[Tensor]:
    """The images, in one tensor uint8 (n, 3, h, w) for each size; none where a screening left none.

    Raises FileNotFoundError, or StoreError where the file is damaged or is no poisoning set.
    """
    lengths = store.lengths(path)
    if not any(name.startswith(PREFIX) for name in lengths):
        raise store.StoreError(f"{path}: no images; it holds {', '.join(lengths)}")
    names = sorted(name for name, count in lengths.items() if name.startswith(PREFIX) and count)
    return [torch.from_numpy(array) for array in store.read(path, *names).values()] if names else []
