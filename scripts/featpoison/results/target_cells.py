"""The numbers of the table of attacks on pre-training, one row a task and a victim, with their intervals: the
CSV beside the LaTeX table.

The interval of a success rate is the exact one over targets, with the encoders held fixed: how much another
pre-training would differ shows only where a row has several poison seeds. Intervals of accuracies and drops
are those of the crossed bootstrap over encoders, victim seeds and test inputs (`bootstrap`). No target counts
for accuracy.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from featpoison import store
from featpoison.common.settings import Settings
from featpoison.results import csv_text
from featpoison.results.binomial import exact_interval
from featpoison.results.bootstrap import STREAM, contrast, of_images

VICTIMS = ("sgd100", "converged")
Paths = Annotated[tuple[str, ...], Field(min_length=1, strict=False)]


class TargetRow(Settings):
    """A row of the table: what tells it apart, and the files of the stage `data/target_measures/` behind
    it."""

    attack: str
    """Title of the attack."""
    defence: str
    """What was done against it, in words; empty: nothing."""
    task: str
    """Downstream data set."""
    rate: float
    """Poisons for each clean image."""
    references: int
    """Of each target."""
    epochs: int
    """Of the poisoned pre-training."""
    smallest_crop: float | None
    """Smallest share of an image that a crop covers; null: no crops."""
    tuning_images: int
    """Clean images of a fine-tuning after it; 0: none, or one whose number is not said."""
    tuning_epochs: int
    """Passes over them; 0: no fine-tuning."""
    loss: str
    """What the poisoned pre-training minimised."""
    plain: bool
    """Whether the six numbers are all that sets it apart from other plain rows of its attack: SimCLR's loss,
    no screening, no subset, no vote."""
    clean_encoder: str
    """Name of the encoder without poisons that it is compared with."""
    vote: bool
    """Whether the encoders vote."""
    measures: Paths
    """Of each encoder."""
    clean: Paths
    """Of the clean encoder on the targets of each poisoning."""


@dataclass(frozen=True)
class TargetCell:
    """A row of the CSV; rates, accuracies and drops in percent, None where a number does not exist."""

    attack: str
    defence: str
    task: str
    victim: str
    """sgd100 or converged."""
    encoders: int
    """How many were trained; of voting ones, the members."""
    targets: int
    """Of all encoders together."""
    rate: float
    references: int
    epochs: int
    smallest_crop: float | None
    tuning_images: int
    """Clean images of a fine-tuning afterwards; 0 without one."""
    tuning_epochs: int
    loss: str
    plain: bool
    """Whether the six numbers above the loss are all that sets it apart from other plain rows of its
    attack."""
    clean_encoder: str
    """The encoder that it is compared with."""
    vote: bool
    """Whether its encoders vote, so that they are one victim."""
    cross_pairs: float
    """Expected cross pairs of a target in training, mean over targets."""
    success: float
    success_low: float
    success_high: float
    """Targets that are given the wanted class, with the exact 95 % interval."""
    clean_success: float
    clean_success_low: float
    clean_success_high: float
    """The same targets on the clean encoder."""
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    """Of the poisoned encoder, on test inputs that are no targets."""
    clean_accuracy: float
    clean_accuracy_low: float
    clean_accuracy_high: float
    drop: float
    drop_low: float
    drop_high: float
    """clean_accuracy - accuracy."""
    probability: float
    clean_probability: float
    """Of the wanted class, mean over targets, in [0, 1]."""
    rank: float
    clean_rank: float
    """Of the wanted class, from 1, mean over targets."""
    cosine: float
    clean_cosine: float
    """Between a target's feature and the mean of its wanted class, mean over targets."""
    source: str
    """The measures, separated by spaces."""


class MeasureError(ValueError):
    """Measures do not belong together; the message names the files and what differs."""


Arrays = dict[str, np.ndarray]


def cells_of(row: TargetRow) -> list[TargetCell]:
    """The cells of a row, one for each victim.

    Raises FileNotFoundError or StoreError for missing or damaged files, and MeasureError where encoders that
    vote, or the poisoned and the clean encoder, have other targets or test inputs.
    """
    poisoned, clean = ([store.read(Path(path)) for path in paths] for paths in (row.measures, row.clean))
    _check(row, poisoned, clean)
    return [cell_of(row, victim, poisoned, clean) for victim in VICTIMS]


def _check(row: TargetRow, poisoned: Sequence[Arrays], clean: Sequence[Arrays]) -> None:
    compared = [clean[0] for _ in poisoned] if row.vote else clean
    for path, one, other in zip(row.measures, poisoned, compared, strict=True):
        for name in ("target", "label", "test_labels"):
            if not np.array_equal(one[name], other[name]):
                raise MeasureError(f"{path}: '{name}' is not that of {row.clean[0]}, expected equal ones")


def cell_of(row: TargetRow, victim: str, poisoned: Sequence[Arrays], clean: Sequence[Arrays]) -> TargetCell:
    """The cell of a row for one victim, from the arrays of its measures and of its clean encoder's."""
    labels = poisoned[0]["test_labels"]
    key = f"{victim}_predictions"
    given = [one[key] for one in poisoned]  # (V, m) each
    if row.vote:
        given = [majority(np.stack(given))]
    targets = [clean[0]] if row.vote else clean
    kept = np.ones(len(labels), bool)
    for one in targets:
        kept[one["target"]] = False
    right = np.stack([one[:, kept] == labels[kept] for one in given])  # (K, V, m)
    clean_right = (clean[0][key][:, kept] == labels[kept])[None]
    perfect = np.ones((1, 1, int(kept.sum())), bool)
    loss, clean_loss = (contrast(of_images(perfect, one, STREAM)) for one in (right, clean_right))
    drop = contrast(of_images(clean_right, right, STREAM))
    return TargetCell(
        **row.model_dump(exclude={"measures", "clean"}),
        victim=victim,
        encoders=len(poisoned),
        targets=sum(len(one["target"]) for one in targets),
        cross_pairs=_mean(poisoned, "cross_pairs"),
        **_rates("success", given, targets),
        **_rates("clean_success", [one[key] for one in clean], targets),
        accuracy=100 - loss.mean,
        accuracy_low=100 - loss.high,
        accuracy_high=100 - loss.low,
        clean_accuracy=100 - clean_loss.mean,
        clean_accuracy_low=100 - clean_loss.high,
        clean_accuracy_high=100 - clean_loss.low,
        drop=drop.mean,
        drop_low=drop.low,
        drop_high=drop.high,
        probability=_mean(poisoned, f"{victim}_probability"),
        clean_probability=_mean(clean, f"{victim}_probability"),
        rank=_mean(poisoned, f"{victim}_rank"),
        clean_rank=_mean(clean, f"{victim}_rank"),
        cosine=_mean(poisoned, "cosine"),
        clean_cosine=_mean(clean, "cosine"),
        source=" ".join(row.measures),
    )


def majority(predictions: np.ndarray) -> np.ndarray:
    """The class that most of M members give each input, the smaller number where they tie: (M, ...) ->
    (...)."""
    votes = np.stack([(predictions == label).sum(0) for label in range(int(predictions.max()) + 1)])
    return votes.argmax(0)


def _rates(name: str, given: Sequence[np.ndarray], targets: Sequence[Arrays]) -> dict[str, Any]:
    """The success rate and its interval, percent; a target counts by its share of heads that err so."""
    wanted = [
        (predictions[:, one["target"]] == one["label"]).mean(0)
        for predictions, one in zip(given, targets, strict=True)
    ]
    each = np.concatenate(wanted)
    found = exact_interval(float(each.sum()), len(each))
    return {name: 100 * found.mean, f"{name}_low": 100 * found.low, f"{name}_high": 100 * found.high}


def _mean(measures: Sequence[Arrays], name: str) -> float:
    """Mean over heads and over the targets of all encoders."""
    return float(
        np.concatenate([one[name].reshape(-1, one[name].shape[-1]).mean(0) for one in measures]).mean()
    )


def to_csv(cells: Iterable[TargetCell]) -> str:
    """CSV text; numbers with enough digits to be compared, empty where there is none."""
    return csv_text.to_csv(TargetCell, cells)


def from_csv(text: str) -> list[TargetCell]:
    """The inverse of `to_csv`, up to its rounding. Raises ValueError for other columns."""
    return csv_text.from_csv(TargetCell, text)


def cell_from(line: Mapping[str, str]) -> TargetCell:
    """The cell of a line of the CSV. Raises KeyError for a missing column, ValueError for a damaged
    number."""
    return csv_text.from_line(TargetCell, line)
