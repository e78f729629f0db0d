"""A folder of images in the layout of torchvision's ImageFolder.

The images are train/CLASS/NAME.png and test/CLASS/NAME.png (or .jpg, .bmp, ...), and those in folders below
a class's are of this class, as torchvision reads them; Train and Test will do as well, and folders beside
them are not read. What torchvision would read as something that nobody meant is refused: hidden folders such
as .ipynb_checkpoints, and classes without an image.

Classes are the sorted names of the folders in train, and the images of a class are sorted by folder and name.
All are averaged to one side; a picture that is no square is squeezed. Images are read while they are written
to the product, so that a folder may be larger than memory.
"""

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from featpoison.common.progress import Progress
from featpoison.datasets.downloads import DigestError
from featpoison.datasets.images import UNREADABLE, Images, averaged
from featpoison.records.provenance import sha256_file
from featpoison.store import Rows

log = logging.getLogger(__name__)
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
"""Those that torchvision's ImageFolder reads; files with others are left alone."""


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
            except UNREADABLE as error:
                raise ValueError(f"{path}: no whole image: {error}") from error
        self._progress.advance(len(paths))
        return images


def read_folder(folder: Path, side: int, choose: Callable[[int], np.ndarray]) -> Images:
    """The data set in a folder: training images with the indices `choose(n)` out of n, and all test images.

    All are averaged to `side` px. Raises ValueError naming a folder that is missing, hidden or holds no
    image, that is no class of the training images, or whose name is no UTF-8.
    """
    train, test = _part(folder, "train"), _part(folder, "test")
    for part in (train, test):
        if not part.is_dir():
            raise ValueError(
                f"{part}: no such folder, expected train/CLASS/*.png and test/CLASS/*.png in {folder}"
            )
    classes = tuple(path.name for path in _classes(train))
    unknown = [path for path in _classes(test) if path.name not in classes]
    if unknown:
        raise ValueError(f"{unknown[0]}: no class of the training images, expected one of {list(classes)}")
    for path in (*_classes(train), *_classes(test)):
        _check_class(path)
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


def _classes(part: Path) -> list[Path]:
    """The folders of the classes, sorted."""
    return sorted(path for path in part.iterdir() if path.is_dir())


def _check_class(path: Path) -> None:
    """Raises ValueError naming a class's folder that is hidden or empty or has a hidden folder below it, or
    whose name is no UTF-8."""
    try:
        path.name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{str(path)!r}: expected the name of a class in UTF-8") from None
    hidden = next((one for one in (path, *path.rglob("*/")) if one.name.startswith(".")), None)
    if hidden:
        raise ValueError(f"{hidden}: a hidden folder, expected classes alone; move it elsewhere")
    if not _pictures(path):
        raise ValueError(f"{path}: holds no image, expected at least one, with one of {', '.join(SUFFIXES)}")


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
    parts = (_part(folder, name) for name in ("train", "test"))
    found = (path for part in parts if part.is_dir() for path in part.rglob("*") if path.parent != part)
    found = (path for path in found if _is_picture(path))
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _part(folder: Path, name: str) -> Path:
    """The folder of this name, or else the one whose name differs from it by capitals alone."""
    exact = folder / name
    found = [] if exact.is_dir() or not folder.is_dir() else sorted(folder.iterdir())
    return next((path for path in found if path.is_dir() and path.name.lower() == name), exact)


def _pictures(folder: Path) -> list[Path]:
    """The paths of all images in a folder and below it, in torchvision's order: folder by folder."""
    below = sorted(os.walk(folder, followlinks=True)) if folder.is_dir() else []
    found = (Path(place) / name for place, _, names in below for name in sorted(names))
    return [path for path in found if _is_picture(path)]


def _is_picture(path: Path) -> bool:
    """Whether the path is a file with the ending of an image."""
    return path.suffix.lower() in SUFFIXES and path.is_file()
