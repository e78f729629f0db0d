"""Targets of attacks on pre-training: inputs, the class that heads shall give each, and its reference inputs.

They belong to downstream tasks, several of which may be attacked at once. Targets are test images of a task's
data set, and references are training images of the wanted class. Settings name them or leave them to chance.
Everything is checked, with labels and shapes alone, before an image is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveInt

from featpoison import store
from featpoison.attacks.pretraining_attack import PretrainingRun, image_count
from featpoison.common.seeds import stream
from featpoison.common.settings import Settings
from featpoison.datasets.stored import class_names


class Target(Settings):
    """An input and the class that heads shall give it."""

    row: NonNegativeInt
    """Row of the downstream data set's test images."""
    label: NonNegativeInt
    """Number of the class, another than the input's own."""
    # Not strict: in Python settings may hold a list.
    references: Annotated[tuple[NonNegativeInt, ...] | None, Field(strict=False)] = None
    """Its reference inputs, rows of that class among the data set's training images; null: drawn at
    random."""


class Targets(Settings):
    """Whom an attack aims at. Values are this project's choice."""

    targets: dict[str, PositiveInt | Annotated[tuple[Target, ...], Field(strict=False)]] = Field(
        default_factory=dict
    )
    """By downstream data set: the target inputs, or how many of the test images to draw at random, each with
    a random class other than its own. Several data sets are attacked at once."""
    references: PositiveInt = 50
    """Reference inputs of each target that names none: so many training images of its class in the downstream
    data set, drawn at random."""


@dataclass(frozen=True)
class Aim:
    """One target with all that belongs to it."""

    task: int
    """Position of its downstream data set among the sorted names."""
    row: int
    """Row of the test images."""
    label: int
    """The wanted class."""
    references: np.ndarray
    """Rows of the training images (k,), in random order."""


@dataclass(frozen=True)
class _Task:
    """The labels of a downstream task, and the key of the settings that its targets stand under."""

    key: str
    train: np.ndarray
    test: np.ndarray
    classes: tuple[str, ...]

    def named(self, label: int) -> str:
        """A class as messages name it."""
        return f"class {label}, {self.classes[label]}"


def find_aims(settings: Targets, downstream: Mapping[str, Path], seed: int) -> list[Aim]:
    """The targets of all downstream tasks in the order of the tasks' names.

    `downstream` are the image files by data set. Chance is that of the poison `seed`. Raises ValueError,
    naming key, value and expectation, where there is no target, where the settings and `downstream` are of
    other data sets, where a target, a class or a reference is none of its data set, and where a class has too
    few references.
    """
    if not settings.targets:
        raise ValueError("'targets' is empty, expected the targets of at least one downstream data set")
    if set(settings.targets) != set(downstream):
        raise ValueError(
            f"'targets' is of {sorted(settings.targets)}, expected {sorted(downstream)}: "
            "the data sets whose images are given"
        )
    aims: list[Aim] = []
    for place, name in enumerate(sorted(settings.targets)):
        labels = store.read(downstream[name], "train_labels", "test_labels")
        classes = class_names(downstream[name])
        task = _Task(f"targets.{name}", labels["train_labels"], labels["test_labels"], classes)
        chosen = settings.targets[name]
        if isinstance(chosen, int):
            chosen = _random_targets(chosen, task, stream(seed, 0, place, device=torch.device("cpu")))
        if not chosen:
            raise ValueError(f"'{task.key}' is empty, expected at least one target")
        for number, target in enumerate(chosen):
            where = f"{task.key}.{number}"
            _check_target(target, task, where)
            found = (
                _random_references(target, settings.references, task, where)
                if target.references is None
                else _named_references(target.references, target.label, task, where)
            )
            generator = stream(seed, 1, len(aims), device=torch.device("cpu"))
            order = torch.randperm(len(found), generator=generator).numpy()
            kept = found[order][: settings.references if target.references is None else None]
            aims.append(Aim(place, target.row, target.label, kept))
    return aims


@dataclass(frozen=True)
class Assignment:
    """Which target and which reference each poisoning image is made of."""

    size: tuple[int, int]
    """Height and width of the data sets' images in pixels."""
    tasks: list[str]
    """The downstream data sets, whose positions `columns` has."""
    targets: int
    """How many there are."""
    columns: dict[str, np.ndarray]
    """A row for each image, int64 (n,): `task`; `target`, a row of the test images; `reference`, a row of the
    training images; `label`, the wanted class."""


def assignment(given: PretrainingRun) -> Assignment:
    """What the settings of an attack, a kind of `Targets`, and its rate ask for; targets are shared out
    evenly.

    Raises ValueError naming key, value and expectation, before an image is read.
    """
    count = image_count(given.rate, store.lengths(given.images)["train_images"])
    size = check_sizes(given.images, given.downstream)
    aims = find_aims(given.settings, given.downstream, given.seed)
    if count < len(aims):
        raise ValueError(
            f"'rate' is {given.rate:g}, which makes {count} images, expected at least one for each of "
            f"{len(aims)} targets"
        )
    aim, reference = shared_out(aims, count)
    columns = {
        "task": np.array([one.task for one in aims])[aim],
        "target": np.array([one.row for one in aims])[aim],
        "reference": reference,
        "label": np.array([one.label for one in aims])[aim],
    }
    return Assignment(size, sorted(given.downstream), len(aims), columns)


def read_pictures(
    given: PretrainingRun, columns: dict[str, np.ndarray], part: Literal["target", "reference"]
) -> np.ndarray:
    """The targets or the references of the images that `columns` (n,) describe, uint8 (n, 3, h, w)."""
    stored = {"target": "test_images", "reference": "train_images"}[part]
    height, width = _shape(given.images, "train_images")
    pictures = np.empty((len(columns["task"]), 3, height, width), np.uint8)
    for task, name in enumerate(sorted(given.downstream)):
        own = np.flatnonzero(columns["task"] == task)
        pictures[own] = store.read(given.downstream[name], stored, rows=columns[part][own])[stored]
    return pictures


def check_sizes(images: Path, downstream: Mapping[str, Path]) -> tuple[int, int]:
    """Height and width in pixels of all images.

    Raises ValueError where those of a downstream task differ from the training images in the file `images`.
    """
    wanted = _shape(images, "train_images")
    for name, path in sorted(downstream.items()):
        for part in ("train_images", "test_images"):
            if (found := _shape(path, part)) != wanted:
                raise ValueError(
                    f"'targets.{name}': {part} of {path} are {found[0]} x {found[1]} px, expected the "
                    f"{wanted[0]} x {wanted[1]} px of the pre-training images {images}"
                )
    return wanted


def shared_out(aims: list[Aim], count: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of `count` images the number of its target and the row of its reference, int64 (count,) each.

    Targets differ by one image at most, and so do the references of a target.
    """
    aim, turn = np.arange(count) % len(aims), np.arange(count) // len(aims)
    taken = (
        aims[one].references[time % len(aims[one].references)] for one, time in zip(aim, turn, strict=True)
    )
    return aim, np.fromiter(taken, np.int64, count)


def _shape(path: Path, name: str) -> tuple[int, int]:
    """Height and width of the images in a file."""
    with store.rows(path, name) as images:
        return images.shape[2], images.shape[3]


def _random_targets(count: int, task: _Task, generator: torch.Generator) -> tuple[Target, ...]:
    """So many test images, none twice, each with a class other than its own."""
    available, classes = len(task.test), len(task.classes)
    if count > available:
        raise ValueError(f"'{task.key}' is {count}, expected at most {available}: the test images")
    if classes < 2:
        raise ValueError(
            f"'{task.key}' has {classes} class, expected at least 2: another than a target's own"
        )
    rows = torch.randperm(available, generator=generator)[:count].numpy()
    labels = (task.test[rows] + torch.randint(1, classes, (count,), generator=generator).numpy()) % classes
    return tuple(
        Target(row=row, label=label) for row, label in zip(rows.tolist(), labels.tolist(), strict=True)
    )


def _check_target(target: Target, task: _Task, where: str) -> None:
    """Raises ValueError where a target is no test image, or its class is none or its own."""
    if target.row >= len(task.test):
        raise ValueError(f"'{where}.row' is {target.row}, expected 0 to {len(task.test) - 1}: a test image")
    if target.label >= len(task.classes):
        raise ValueError(f"'{where}.label' is {target.label}, expected 0 to {len(task.classes) - 1}: a class")
    if target.label == task.test[target.row]:
        raise ValueError(
            f"'{where}.label' is {target.label}, the target's own {task.named(target.label)}; expected "
            "another class"
        )


def _random_references(target: Target, count: int, task: _Task, where: str) -> np.ndarray:
    """The rows (k,) of all training images of the wanted class, of which `count` are to be drawn."""
    rows = np.flatnonzero(task.train == target.label)
    if len(rows) < count:
        raise ValueError(
            f"'references' is {count}, but of {task.named(target.label)}, which '{where}' wants, there are "
            f"{len(rows)} training images; expected so many at least"
        )
    return rows


def _named_references(given: tuple[int, ...], label: int, task: _Task, where: str) -> np.ndarray:
    """The named rows (k,). Raises ValueError for one that is no training image of the class."""
    if not given:
        raise ValueError(f"'{where}.references' is empty, expected training images of {task.named(label)}")
    for row in given:
        if row >= len(task.train) or task.train[row] != label:
            raise ValueError(
                f"'{where}.references' has {row}, expected rows of 0 to {len(task.train) - 1} that are of "
                f"{task.named(label)}"
            )
    return np.array(given, np.int64)
