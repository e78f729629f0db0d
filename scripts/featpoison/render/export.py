"""Poison images as files that any training code reads: an 8-bit PNG each, in a folder per class, and the
exact floats beside them."""

import csv
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
        """Raises ExportError for labels without a class, and for class names that are no folder names."""
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            raise ExportError(
                f"labels run from {self.labels.min()} to {self.labels.max()}, expected 0 to "
                f"{len(self.classes) - 1}"
            )
        for name in self.classes:
            if name in ("", ".", "..") or "/" in name:
                raise ExportError(f"class {name!r}: expected a name that a folder can have")


def export(poisons: ExportedImages, folder: Path, record: Record) -> None:
    """Write `{class}/{row}.png`, `poisons.csv` and `poisons.safetensors` into `folder`, which appears whole
    or not at all.

    The table's `file` is relative to the folder. Only classes that have poisons get a folder, as
    torchvision's ImageFolder expects; it numbers those folders by name, the table holds the data set's own
    labels. Raises ExportError where `folder` exists and is not an empty folder.
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
    names = [poisons.classes[label] for label in poisons.labels]
    for name in sorted(set(names)):
        (folder / name).mkdir()
    with open(folder / "poisons.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "label", "class", "base"])
        for row, (image, label, name, base) in enumerate(
            zip(
                to_8bit(torch.from_numpy(poisons.images)).numpy(),
                poisons.labels,
                names,
                poisons.base,
                strict=True,
            )
        ):
            path = f"{name}/{row:05d}.png"
            Image.fromarray(image.transpose(1, 2, 0)).save(folder / path)
            writer.writerow([path, label, name, base])
