"""Images in zip archives."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from featpoison.common.progress import Progress
from featpoison.datasets.images import averaged


def open_zip(path: Path) -> zipfile.ZipFile:
    """The archive. Raises ValueError for what is no whole zip archive."""
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ValueError(f"damaged, expected a whole zip archive: {error}") from error


def decoded(archive: zipfile.ZipFile, names: Sequence[str], side: int, progress: Progress) -> np.ndarray:
    """The images in these members, uint8 (n, 3, side, side), averaged to `side` px; grey images become three
    equal planes.

    Raises ValueError naming the member that is no whole image.
    """
    images = np.empty((len(names), 3, side, side), np.uint8)
    for index, name in enumerate(names):
        try:
            images[index] = averaged(Image.open(io.BytesIO(archive.read(name))), side)
        except (UnidentifiedImageError, OSError, SyntaxError, zipfile.BadZipFile) as error:
            raise ValueError(f"member {name}: no whole image: {error}") from error
        progress.advance(1)
    return images
