"""Images in zip archives."""

import io
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from featpoison.common.progress import Progress
from featpoison.datasets.images import UNREADABLE, averaged

LARGEST = 1 << 26  # bytes of a member
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError, ValueError)
"""What zipfile raises over what it cannot read: damaged, encrypted, of a version or compression that it does
not know."""


def open_zip(path: Path) -> zipfile.ZipFile:
    """The archive. Raises ValueError for what is no whole zip archive, and naming the member that is there
    twice or too large."""
    try:
        archive = zipfile.ZipFile(path)
    except DAMAGED as error:
        raise ValueError(f"damaged, expected a whole zip archive: {error}") from error
    seen = set()
    for entry in archive.infolist():
        if entry.filename in seen:
            raise ValueError(f"member {entry.filename} is there twice, expected each file once")
        if entry.file_size > LARGEST:
            raise ValueError(
                f"member {entry.filename} has {entry.file_size} bytes, expected at most {LARGEST}"
            )
        seen.add(entry.filename)
    return archive


def text(archive: zipfile.ZipFile, name: str) -> str:
    """The text in a member. Raises ValueError naming a member that is missing or no whole text in UTF-8."""
    try:
        return archive.read(name).decode()
    except KeyError:
        raise ValueError(f"no member {name}") from None
    except DAMAGED as error:
        raise ValueError(f"member {name}: no whole text in UTF-8: {error}") from error


def decoded(archive: zipfile.ZipFile, names: Sequence[str], side: int, progress: Progress) -> np.ndarray:
    """The images in these members, uint8 (n, 3, side, side), averaged to `side` px; grey images become three
    equal planes.

    Raises ValueError naming the member that is no whole image.
    """
    images = np.empty((len(names), 3, side, side), np.uint8)
    for index, name in enumerate(names):
        try:
            images[index] = averaged(Image.open(io.BytesIO(archive.read(name))), side)
        except (*UNREADABLE, *DAMAGED) as error:
            raise ValueError(f"member {name}: no whole image: {error}") from error
        progress.advance(1)
    return images
