"""The stage `data/target_measures/`: from poisons, features and heads to what became of the targets of one
task. The step that makes a file and the audit that computes it again call the same function."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from featpoison import store
from featpoison.attacks.cross_pairs import Exposure, expected_by_image
from featpoison.downstream.target_measures import VICTIMS, TargetInputs, measure
from featpoison.downstream.task import read_task
from featpoison.pretraining.poison_files import PoisonFile


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


def measured(
    poisons: Path, task: str, *, features: Path, heads: Path, seen: Seen | None
) -> tuple[dict[str, np.ndarray], int]:
    """The measures of all targets in `task` of a poisoning set, by name, and the number of classes.

    `features` are those of the task under the measured encoder, and `heads` the clean heads on them. Raises
    FileNotFoundError or StoreError for missing or damaged files, ValueError for a task that has no targets
    and for a wanted class without test inputs.
    """
    aimed = PoisonFile(poisons)
    place = aimed.place_of(task)
    own = [(row, label) for number, row, label in aimed.targets() if number == place]
    rows, labels = np.array(own, np.int64).T
    arrays = {"target": rows, "label": labels, "cross_pairs": np.zeros(len(own))}
    if seen:
        arrays["cross_pairs"] = seen.cross_pairs(place, own)
    given = read_task(features)
    stored = store.read(heads, *(f"{name}_omega" for name in VICTIMS))
    omega = {
        "sgd100": torch.from_numpy(stored["sgd100_omega"][0]),  # (V, C, d+1)
        "converged": torch.from_numpy(stored["converged_omega"]),  # (1, C, d+1)
    }
    arrays |= measure(
        given, omega, TargetInputs(torch.from_numpy(rows.copy()), torch.from_numpy(labels.copy()))
    )
    arrays["test_labels"] = given.test_labels.numpy()
    return arrays, given.classes
