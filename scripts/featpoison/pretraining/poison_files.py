"""A poisoning set with what its file says of each image: whom it aims at, and what it is made of.

What pre-training reads of it, the images alone, is `poison_sets.py`.
"""

from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from featpoison import store
from featpoison.common.settings import Settings

PREFIX = "images"  # as in poison_sets.py, which imports torch


class Kind(Settings):
    """The images of one dataset of a poisoning set, which all have one size."""

    count: NonNegativeInt
    height: PositiveInt
    """In pixels."""
    width: PositiveInt


class PoisonFile:
    """One file of the stage `data/pretraining_poisons/`. Raises FileNotFoundError or StoreError where it is
    missing, damaged or something else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lengths = store.lengths(path)
        facts = store.read_attributes(path)
        self.tasks: list[str] = list(facts["tasks"])
        """The downstream data sets, whose positions the column `task` has."""

    @property
    def attack(self) -> str:
        """The name of the attack. Raises KeyError for what a screening left of a set."""
        return store.read_provenance(self.path)["settings"]["attack"]

    def place_of(self, task: str) -> int:
        """The position of a downstream data set. Raises ValueError for one that has no targets."""
        if task not in self.tasks:
            raise ValueError(f"'task' is {task!r}, expected one of {', '.join(self.tasks)}")
        return self.tasks.index(task)

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """The kinds of images by the names of their datasets, in the order of the columns."""
        found = {}
        for name in sorted(name for name in self._lengths if name.startswith(PREFIX)):
            with store.rows(self.path, name) as images:
                count, _, height, width = images.shape
            found[name] = Kind(count=count, height=height, width=width)
        return found

    @cached_property
    def columns(self) -> dict[str, np.ndarray]:
        """What is known of each image, (n,) each, by name: `task`, `target`, `reference` and `label`, and of
        combinations `target_first`."""
        return store.read(self.path, *(name for name in self._lengths if not name.startswith(PREFIX)))

    def targets(self) -> list[tuple[int, int, int]]:
        """Every target once, as (task, row of its test images, wanted class), sorted."""
        triples = np.stack([self.columns[name] for name in ("task", "target", "label")], 1)
        return [(task, row, label) for task, row, label in np.unique(triples, axis=0).tolist()]

    def rows_of(self, task: int, row: int, label: int) -> np.ndarray:
        """The positions of a target's images, ascending."""
        own = self.columns["task"] == task
        return np.flatnonzero(own & (self.columns["target"] == row) & (self.columns["label"] == label))

    def images(self, rows: np.ndarray) -> list[np.ndarray]:
        """The images at these positions, uint8 (3, ., .), which may be of several sizes."""
        found: list[np.ndarray] = []
        names = list(self.kinds)
        ends = np.cumsum([kind.count for kind in self.kinds.values()])
        for row in rows.tolist():
            place = int(np.searchsorted(ends, row, side="right"))
            name, start = names[place], int(ends[place]) - self._lengths[names[place]]
            found.append(store.read(self.path, name, rows=np.array([row - start]))[name][0])
        return found
