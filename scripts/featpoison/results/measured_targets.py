"""The stage `data/target_measures/`: from poisons, features and heads to what became of the targets of one
task. The step that makes a file and the audit that computes it again call the same function."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from featpoison import store
from featpoison.attacks.cross_pairs import Exposure, expected_by_image, expected_of_each
from featpoison.datasets.stored import class_names
from featpoison.downstream.target_measures import VICTIMS, TargetInputs, measure
from featpoison.downstream.task import Task, read_task
from featpoison.encoders.encoder import load_encoder
from featpoison.encoders.features import extract
from featpoison.pretraining.poison_files import PoisonFile
from featpoison.pretraining.target_files import TargetFile

Aimed = tuple[Task, TargetInputs, np.ndarray]
"""A task with its targets among the test inputs, the targets, and the cross pairs (k,) that training is
expected to have seen of each."""


class Aims(Protocol):
    """Where targets come from."""

    def of(self, given: Task) -> Aimed:
        """The targets of a task, whose test inputs they may be added to."""


@dataclass(frozen=True)
class Seen:
    """What the measured encoder was trained on, where poisons were among it."""

    exposure: Exposure
    images: Path
    """Its clean images."""
    poisons: Path
    """Its poisoning set, of which a screening may have left a part."""

    def cross_pairs(self, task: int, targets: list[tuple[int, int]]) -> np.ndarray:
        """The expected cross pairs of each target (row, wanted class) of a task, float64 (k,)."""
        clean = store.lengths(self.images)["train_images"]
        expected, trained = expected_by_image(self.poisons, clean, self.exposure), PoisonFile(self.poisons)
        return np.array([expected[trained.rows_of(task, *one)].sum() for one in targets])


@dataclass(frozen=True)
class InPoisons:
    """Test inputs of the task, as the poisoning set names them."""

    poisons: Path
    task: str
    seen: Seen | None
    """Null: the measured encoder saw no poisons."""

    def of(self, given: Task) -> Aimed:
        """Raises ValueError for a task that has no targets."""
        aimed = PoisonFile(self.poisons)
        place = aimed.place_of(self.task)
        own = [(row, label) for number, row, label in aimed.targets() if number == place]
        rows, labels = torch.tensor(own).T
        pairs = self.seen.cross_pairs(place, own) if self.seen else np.zeros(len(own))
        return given, TargetInputs(rows, labels), pairs


@dataclass(frozen=True)
class InFile:
    """Inputs of a file of their own (`pretraining/target_files.py`), which become test inputs of the task:
    those that are none yet are put after the others."""

    targets: Path
    images: Path
    """Of the task."""
    encoder: Path
    """The measured encoder."""
    exposure: Exposure | None
    """Null: the measured encoder saw no poisons."""

    def of(self, given: Task) -> Aimed:
        """Raises ValueError where a class of a target is none of the task, a target is a training image, or
        its size is not that of the task's images."""
        aimed = TargetFile(self.targets)
        own, labels = (torch.from_numpy(one) for one in aimed.numbered_as(class_names(self.images)))
        rows = torch.from_numpy(aimed.places_in(self.images))
        added = rows < 0
        rows[added] = len(given.test) + torch.arange(int(added.sum()))
        features = extract(aimed.images[added.numpy()], load_encoder(self.encoder))
        extended = replace(
            given,
            test=torch.cat([given.test, features]),
            test_labels=torch.cat([given.test_labels, own[added]]),
        )
        return extended, TargetInputs(rows, labels), self._cross_pairs(aimed)

    def _cross_pairs(self, aimed: TargetFile) -> np.ndarray:
        if self.exposure is None:
            return np.zeros(len(aimed.label))
        each = expected_of_each(aimed.kinds, aimed.clean, self.exposure)
        return aimed.poisons @ np.array(list(each.values()))


def measured(aims: Aims, *, features: Path, heads: Path) -> tuple[dict[str, np.ndarray], int]:
    """The measures of all targets of a task, by name, and the number of classes.

    `features` are those of the task under the measured encoder, and `heads` the clean heads on them. Raises
    FileNotFoundError or StoreError for missing or damaged files, ValueError as `aims` does and for a wanted
    class without test inputs.
    """
    given, targets, pairs = aims.of(read_task(features))
    stored = store.read(heads, *(f"{name}_omega" for name in VICTIMS))
    omega: dict[str, Tensor] = {
        "sgd100": torch.from_numpy(stored["sgd100_omega"][0]),  # (V, C, d+1)
        "converged": torch.from_numpy(stored["converged_omega"]),  # (1, C, d+1)
    }
    arrays = {
        "target": targets.rows.numpy(),
        "label": targets.labels.numpy(),
        "features": given.test[targets.rows].numpy(),
        "cross_pairs": pairs,
    }
    arrays |= measure(given, omega, targets)
    arrays["test_labels"] = given.test_labels.numpy()
    return arrays, given.classes
