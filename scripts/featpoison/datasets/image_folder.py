"""A folder of images in the layout of torchvision's ImageFolder.

The images are train/CLASS/NAME.png and test/CLASS/NAME.png (or .jpg, .bmp, ...); Train and Test will do as
well, and folders beside them are not read.

Classes are the sorted names
of the folders in train, and the images of a class are sorted by name. All are averaged to one side; a picture
that is no square is squeezed. Images are read while they are written to the product, so that a folder may be
larger than memory.
"""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from featpoison.common.progress import Progress
from featpoison.datasets.downloads import DigestError
from featpoison.datasets.images import Images, averaged
from featpoison.records.provenance import sha256_file
from featpoison.store import Rows

log = logging.getLogger(__name__)
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff", ".webp")


class Pictures(Rows):
    """Image files as an array uint8 (n, 3, side, side); files are read when their rows are asked for."""

    def __init__(self, paths: list[Path], side: int) -> None:
        self.shape, self.dtype = (len(paths), 3, side, side), np.dtype(np.uint8)
        self._paths, self._side = paths, side
        self._progress = Progress(len(paths), "images")

    def __getitem__(self, rows: slice) -> np.ndarray:
        """The images of a slice, uint8 (k, 3, side, side).

        Raises ValueError naming the file that is no image.
        """
        paths = self._paths[rows]
        images = np.empty((len(paths), *self.shape[1:]), np.uint8)
        for index, path in enumerate(paths):
            try:
                with Image.open(path) as picture:
                    images[index] = averaged(picture, self._side)
            except (UnidentifiedImageError, OSError, SyntaxError) as error:  # SyntaxError: a broken PNG
                raise ValueError(f"{path}: no whole image: {error}") from error
        self._progress.advance(len(paths))
        return images


def read_folder(folder: Path, side: int, choose: Callable[[int], np.ndarray]) -> Images:
    """The data set in a folder: training images with the indices `choose(n)` out of n, and all test images.

    All are averaged to `side` px. Raises ValueError naming a folder that is missing, holds no image, or is no
    class of the training images.
    """
    train, test = _part(folder, "train"), _part(folder, "test")
    for part in (train, test):
        if not part.is_dir():
            raise ValueError(
                f"{part}: no such folder, expected train/CLASS/*.png and test/CLASS/*.png in {folder}"
            )
    classes = tuple(path.name for path in sorted(train.iterdir()) if path.is_dir())
    unknown = [path for path in sorted(test.iterdir()) if path.is_dir() and path.name not in classes]
    if unknown:
        raise ValueError(f"{unknown[0]}: no class of the training images, expected one of {list(classes)}")
    files = {
        part: [(path, number) for number, name in enumerate(classes) for path in _pictures(part / name)]
        for part in (train, test)
    }
    for part, found in files.items():
        if not found:
            raise ValueError(f"{part}: holds no image, expected CLASS/NAME with one of {', '.join(SUFFIXES)}")
    chosen = [files[train][row] for row in choose(len(files[train]))]
    return Images(
        train_images=Pictures([path for path, _ in chosen], side),
        train_labels=np.array([number for _, number in chosen], np.int64),
        test_images=Pictures([path for path, _ in files[test]], side),
        test_labels=np.array([number for _, number in files[test]], np.int64),
        classes=classes,
    )


def check(folder: Path, expected: str | None) -> str:
    """One SHA-256, in hex, over all images of a folder.

    It covers a line `<sha256>  <path>` for each image, with paths relative to `folder` and sorted by them, as
    `sha256sum` prints. Raises DigestError where it is not `expected`; None expects nothing.
    """
    found = hashlib.sha256()
    for path in files(folder):
        found.update(f"{sha256_file(path)}  {path.relative_to(folder).as_posix()}\n".encode())
    digest = found.hexdigest()
    if expected is None:
        log.warning(
            "%s: sha256 %s over all images is unverified; put it into the configuration to hold them to it",
            folder,
            digest,
        )
    elif digest != expected:
        raise DigestError(f"{folder}: sha256 over all images is {digest}, expected {expected}")
    return digest


def files(folder: Path) -> list[Path]:
    """The paths of all images of the folder, sorted by their names relative to it."""
    found = (
        path for part in ("train", "test") for path in _part(folder, part).glob("*/*") if _is_picture(path)
    )
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _part(folder: Path, name: str) -> Path:
    """The folder of this name, or else the one whose name differs from it by capitals alone."""
    exact = folder / name
    found = [] if exact.is_dir() or not folder.is_dir() else sorted(folder.iterdir())
    return next((path for path in found if path.is_dir() and path.name.lower() == name), exact)


def _pictures(folder: Path) -> list[Path]:
    """The paths of all images that lie directly in a folder, sorted."""
    return sorted(path for path in folder.glob("*") if _is_picture(path))


def _is_picture(path: Path) -> bool:
    """Whether the path is a file with the ending of an image."""
    return path.suffix.lower() in SUFFIXES and path.is_file()
