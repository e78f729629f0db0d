"""One layout in memory for every image data set."""

import struct
import zlib
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from PIL import Image, UnidentifiedImageError

from featpoison.store import Rows


@dataclass(frozen=True)
class Images:
    """A labelled image data set. Images are in memory, or made when they are asked for (`Rows`)."""

    train_images: np.ndarray | Rows
    train_labels: np.ndarray
    test_images: np.ndarray | Rows
    test_labels: np.ndarray
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raises ValueError where images, labels and class names do not fit together."""
        if len(self.classes) < 2:
            raise ValueError(f"classes {list(self.classes)}, expected at least two")
        for part, images, labels in (
            ("train", self.train_images, self.train_labels),
            ("test", self.test_images, self.test_labels),
        ):
            if images.dtype != np.uint8 or len(images.shape) != 4 or images.shape[1] != 3:
                raise ValueError(
                    f"{part} images are {images.dtype} {images.shape}, expected uint8 (n, 3, height, width)"
                )
            if labels.shape != images.shape[:1]:
                raise ValueError(f"{part}: {len(images)} images but labels of shape {labels.shape}")
            if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.classes):
                raise ValueError(
                    f"{part} labels run from {labels.min()} to {labels.max()}, "
                    f"expected 0 to {len(self.classes) - 1}"
                )

    def arrays(self) -> dict[str, np.ndarray | Rows]:
        """The four arrays by the names under which they are stored."""
        return {
            name: getattr(self, name)
            for name in ("train_images", "train_labels", "test_images", "test_labels")
        }

    def with_training_rows(self, rows: np.ndarray) -> Self:
        """The same data set with only the training images of these indices (k,).

        Raises TypeError where the training images are not in memory.
        """
        if isinstance(self.train_images, Rows):
            raise TypeError("training images that are not in memory are chosen by their reader")
        return replace(self, train_images=self.train_images[rows], train_labels=self.train_labels[rows])


def random_rows(available: int, count: int, seed: int) -> np.ndarray:
    """Indices (count,) chosen uniformly at random without replacement from 0 ... available - 1, sorted.

    The random stream is the PCG64 stream of `seed`. Raises ValueError where there are too few.
    """
    if count > available:
        raise ValueError(f"'train_images' is {count}, expected at most {available}: there are no more")
    return np.sort(np.random.default_rng(seed).choice(available, count, replace=False))


def balanced_subset(labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    """Sorted indices of `per_class` randomly chosen rows of each class; `labels` (n,).

    The random stream is the PCG64 stream of `seed`. Raises ValueError where a class has too few rows.
    """
    generator = np.random.default_rng(seed)
    chosen = []
    for value in np.unique(labels):
        rows = np.flatnonzero(labels == value)
        if len(rows) < per_class:
            raise ValueError(f"class {value} has {len(rows)} images, {per_class} were asked for")
        chosen.append(generator.choice(rows, per_class, replace=False))
    return np.sort(np.concatenate(chosen))


MOST_PIXELS = 1 << 26
"""Of one picture; a small file can hold any number of equal pixels."""
UNREADABLE = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    OSError,
    SyntaxError,  # a broken PNG
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    LookupError,
    TypeError,
)
"""What Pillow raises over a file that is no whole picture, and `averaged` over one that is not for us."""


def averaged(picture: Image.Image, side: int) -> np.ndarray:
    """The picture as uint8 (3, side, side): each pixel is the mean over the area that it covers.

    As torchvision does it, a grey picture becomes three equal planes, colours of other kinds become red,
    green and blue, and transparency is left out; one that is no square is squeezed. Raises ValueError for a
    picture of more than 8 bits a channel, which would be cut off at white, and for one of too many pixels.
    """
    width, height = picture.size
    if width * height > MOST_PIXELS:
        raise ValueError(f"{width} x {height} pixels, expected at most {MOST_PIXELS}")
    if picture.mode == "F" or picture.mode.startswith("I"):
        raise ValueError(f"pixels of mode {picture.mode}, expected 8 bits a channel")
    return np.asarray(picture.convert("RGB").resize((side, side), Image.Resampling.BOX)).transpose(2, 0, 1)
