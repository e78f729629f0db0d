"""Poison images as files that any training code reads: an 8-bit PNG each, in a folder per class, and the
exact floats beside them."""

import csv
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save

from featpoison.common.pixels import to_8bit
from featpoison.records.provenance import Record, canonical_json, of_product
from featpoison.records.seal import sealed

UNSAFE = re.compile(r"[^\w .+-]")
"""What not every file system allows in a name."""
SAFE = re.compile(r"\w[\w .+-]*(?<! )(?<!\.)")
"""The name of a class that is also that of a folder."""


class ExportError(ValueError):
    """The poisons cannot be exported; the message names the folder or the value and what was expected."""


@dataclass(frozen=True)
class ExportedImages:
    """Poison images (n, 3, h, w) float32 in units of the pixel range, their labels (n,), base rows (n,), and
    the names of all classes."""

    images: np.ndarray
    labels: np.ndarray
    base: np.ndarray
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raises ExportError for labels without a class."""
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            raise ExportError(
                f"labels run from {self.labels.min()} to {self.labels.max()}, expected 0 to "
                f"{len(self.classes) - 1}"
            )

    @property
    def folders(self) -> tuple[str, ...]:
        """A folder's name for each class, such that sorting the names puts them in the order of the labels.

        They are the names of the classes where these do so, as torchvision's ImageFolder numbers classes by
        their sorted folders. Otherwise the label stands before each name, and signs that not every system
        allows in a name become `_`: `0-T-shirt_top`.
        """
        if all(map(SAFE.fullmatch, self.classes)) and list(self.classes) == sorted(set(self.classes)):
            return self.classes
        digits = len(str(len(self.classes) - 1))
        return tuple(f"{n:0{digits}d}-{UNSAFE.sub('_', name)}" for n, name in enumerate(self.classes))

    def remarks(self) -> list[str]:
        """What somebody who reads the folder has to know, a sentence each."""
        found = []
        outside = 100 * np.mean((self.images < 0) | (self.images > 1)) if self.images.size else 0.0
        if outside:
            found.append(
                f"the PNG files clip the {outside:.1f} % of their pixels that lie outside [0, 1]; "
                "poisons.safetensors has the exact ones"
            )
        if self.folders != self.classes:
            renamed = next(
                pair for pair in zip(self.classes, self.folders, strict=True) if pair[0] != pair[1]
            )
            found.append(
                "folders have names that sort in the order of the labels: class {!r} is in {}".format(
                    *renamed
                )
            )
        counts = np.bincount(self.labels, minlength=len(self.classes))
        if empty := [self.classes[label] for label in np.flatnonzero(counts == 0)]:
            found.append(
                f"no poison has the class {', '.join(empty)}: a class's folder is there and empty, and "
                "torchvision reads it with ImageFolder(..., allow_empty=True)"
            )
        return found


def export(poisons: ExportedImages, folder: Path, record: Record) -> None:
    """Write `{class}/{row}.png`, `poisons.csv` and `poisons.safetensors` into `folder`, which appears whole
    or not at all.

    The table's `file` is relative to the folder. Every class has a folder, empty or not, so that the labels
    which torchvision's ImageFolder gives are the data set's own. Raises ExportError where `folder` exists and
    is not an empty folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExportError(f"{folder}: exists and is not an empty folder; expected a new or an empty one")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as place:
        content = Path(place) / "content"
        content.mkdir()
        _write_images(poisons, content)
        arrays = {"images": poisons.images, "labels": poisons.labels, "base": poisons.base}
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        entry = of_product(record, folder / "poisons.safetensors")
        metadata = {"classes": canonical_json(poisons.classes), "provenance": canonical_json(entry)}
        (content / "poisons.safetensors").write_bytes(sealed(save(arrays, metadata)))
        content.rename(folder)


def _write_images(poisons: ExportedImages, folder: Path) -> None:
    """The PNG files and the table of them."""
    for name in poisons.folders:
        (folder / name).mkdir()
    with open(folder / "poisons.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "label", "class", "base"])
        pixels = to_8bit(torch.from_numpy(poisons.images)).numpy()
        for row, (image, label, base) in enumerate(zip(pixels, poisons.labels, poisons.base, strict=True)):
            path = f"{poisons.folders[label]}/{row:05d}.png"
            Image.fromarray(image.transpose(1, 2, 0)).save(folder / path)
            writer.writerow([path, label, poisons.classes[label], base])
