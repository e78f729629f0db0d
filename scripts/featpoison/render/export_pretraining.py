"""A poisoning set of pre-training as files that any training code reads: an 8-bit PNG each, and a table."""

import csv
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from featpoison.common.files import replacing
from featpoison.pretraining.poison_files import PoisonFile
from featpoison.records import provenance
from featpoison.records.provenance import Record
from featpoison.render.export import ExportError

TABLE = "poisons.csv"


def export(poisons: PoisonFile, classes: dict[str, tuple[str, ...]], folder: Path, record: Record) -> None:
    """Write `images/{row}.png` and the table `poisons.csv`, with its record, into `folder`, which appears
    whole or not at all; the record follows it.

    Images have no labels, so they lie in one folder; the table says of each the data set, the target's and
    the reference's row there, and the wanted class, by its number and by its name in `classes`. Pixels are
    exact. Raises ExportError where `folder` exists and is not an empty folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExportError(f"{folder}: exists and is not an empty folder; expected a new or an empty one")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as place:
        content = Path(place) / "content"
        (content / "images").mkdir(parents=True)
        _write(poisons, classes, content)
        content.rename(folder)
    provenance.write_sidecar(folder / TABLE, record)


def _write(poisons: PoisonFile, classes: dict[str, tuple[str, ...]], folder: Path) -> None:
    """The PNG files and the table of them."""
    columns = poisons.columns
    known = [name for name in ("target", "reference", "target_first") if name in columns]
    with replacing(folder / TABLE) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "dataset", "label", "class", *known])
        for row in range(len(columns["task"])):
            (image,) = poisons.images(np.array([row]))
            name = f"images/{row:05d}.png"
            Image.fromarray(image.transpose(1, 2, 0)).save(folder / name)
            task, label = poisons.tasks[columns["task"][row]], int(columns["label"][row])
            writer.writerow(
                [name, task, label, classes[task][label], *(int(columns[one][row]) for one in known)]
            )
