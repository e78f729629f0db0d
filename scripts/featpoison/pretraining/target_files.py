"""The targets of one poisoning in a file of their own: what has to travel with an encoder that was poisoned
elsewhere, so that the attack on it can be measured without its poisons.

The file holds `images` uint8 (k, 3, h, w), the target inputs; `own` and `label` int64 (k,), the class of each
and the class that the attacker wants for it, as positions in the attribute `classes`; and `poisons` int64
(k, kinds), how many images of each of the attribute `kinds` were made for it. The attribute `poisoning` is
what the poisons were made with, and `clean` the number of images that they were put among.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from featpoison import store
from featpoison.datasets.stored import class_names
from featpoison.pretraining.poison_files import Kind, PoisonFile
from featpoison.records.provenance import Record


class TargetFile:
    """One such file. Raises FileNotFoundError or StoreError where it is missing, damaged or something
    else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        arrays = store.read(path, "images", "own", "label", "poisons")
        self.images, self.own, self.label = (arrays[name] for name in ("images", "own", "label"))
        self.poisons = arrays["poisons"]
        self.classes = class_names(path)
        self.clean: int = store.read_attribute(path, "clean")
        kinds: dict[str, Any] = store.read_attribute(path, "kinds")
        self.kinds = {name: Kind(**kinds[name]) for name in sorted(kinds)}
        """As `PoisonFile.kinds`, in the order of the columns of `poisons`."""

    def numbered_as(self, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """`own` and `label` as positions in the `classes` of a task. Raises ValueError for a class that the
        task does not have."""
        used = sorted({*self.own.tolist(), *self.label.tolist()})
        if missing := [self.classes[label] for label in used if self.classes[label] not in classes]:
            raise ValueError(
                f"{self.path}: targets of class {missing[0]!r}, expected classes of the task: "
                f"{', '.join(classes)}"
            )
        place = np.zeros(len(self.classes), np.int64)
        place[used] = [list(classes).index(self.classes[label]) for label in used]
        return place[self.own], place[self.label]

    def places_in(self, images: Path) -> np.ndarray:
        """Of each target the row of the same image among a task's test images, -1 where it is none of them,
        int64 (k,).

        Raises ValueError where a target is a training image of the task, or where its images have another
        size.
        """
        wanted: dict[bytes, list[int]] = {}
        for number, image in enumerate(self.images):
            wanted.setdefault(image.tobytes(), []).append(number)
        places = np.full(len(self.images), -1, np.int64)
        for part in ("train", "test"):
            with store.rows(images, f"{part}_images") as stored:
                if stored.shape[1:] != self.images.shape[1:]:
                    sizes = [f"{shape[2]} x {shape[3]}" for shape in (self.images.shape, stored.shape)]
                    raise ValueError(f"{self.path}: images of {sizes[0]} px, expected {sizes[1]} as {images}")
                everything = (image for block in stored.blocks() for image in block)
                for row, image in enumerate(everything):
                    numbers = wanted.get(image.tobytes(), [])
                    if numbers and part == "train":
                        raise ValueError(
                            f"{self.path}: target {numbers[0]} is training image {row} of {images}, expected "
                            "inputs that no head is trained on"
                        )
                    places[numbers] = row
        return places


def poisoning_of(path: Path) -> dict[str, Any]:
    """What the poisons of a file's targets were made with: the settings of the attack, `attack`, `rate` and
    `poison_seed`."""
    return store.read_attribute(path, "poisoning")


def write_targets(
    output: Path, poisons: Path, task: str, *, downstream: Path, clean: int, record: Record
) -> None:
    """The targets that a poisoning set has in a task, whose images are in the file `downstream`, as a file
    of their own; the set was put among `clean` images.

    Raises FileNotFoundError or StoreError as the readers do, and ValueError for a task without targets.
    """
    made = PoisonFile(poisons)
    place = made.place_of(task)
    targets = [(row, label) for number, row, label in made.targets() if number == place]
    rows, labels = np.array(targets, np.int64).T
    ends = np.cumsum([kind.count for kind in made.kinds.values()])
    counts = [
        np.bincount(np.searchsorted(ends, made.rows_of(place, *one), side="right"), minlength=len(ends))
        for one in targets
    ]
    shown = store.read(downstream, "test_images", "test_labels", rows=rows)
    store.write(
        output,
        {
            "images": shown["test_images"],
            "own": shown["test_labels"],
            "label": labels,
            "poisons": np.array(counts, np.int64),
        },
        record,
        classes=class_names(downstream),
        clean=clean,
        kinds={name: kind.model_dump() for name, kind in made.kinds.items()},
        poisoning=store.read_provenance(poisons)["settings"],
    )
