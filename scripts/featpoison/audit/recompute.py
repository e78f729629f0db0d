"""A table's cell computed again from what is stored: heads on test features, poisons at the target head,
noise.

The victims' training is not repeated: its results, the heads, are what is stored. Of whole networks only
accuracies are stored, so these are read, and `Recomputed.origins` says so. A path says what a file is: which
input of a result file is which follows from its folder.
"""

import math
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from featpoison import softmax, store
from featpoison.audit.cell_names import TableLine
from featpoison.datasets.stored import largest_pixel, training_pixels
from featpoison.downstream.poison_measures import feature_measures, image_measures
from featpoison.downstream.poisons import read_poisons, with_base_labels
from featpoison.downstream.stored_heads import read_target
from featpoison.downstream.task import Task, read_task
from featpoison.papers.lu2024 import as_printed, drops_of_table
from featpoison.records import provenance
from featpoison.records.provenance import Record
from featpoison.results.cells import Cell, drops_of, fields_of, request_of, target_cell, victim_cell, written
from featpoison.results.claims import key_of
from featpoison.results.rows import Request
from featpoison.results.samples import Scenario, ScenarioFiles
from featpoison.softmax import Head

Arrays = dict[str, np.ndarray]
HEADS, POISONS, IMAGES = (
    "stored heads on the test features",
    "poisons' features",
    "poison images and their bases",
)
ACCURACIES = (
    "clean_accuracy",
    "accuracy",
    "drop",
    "drop_low",
    "drop_high",
    "drop_8bit",
    "drop_8bit_low",
    "drop_8bit_high",
)
ORIGINS = dict.fromkeys(ACCURACIES, HEADS) | {
    "published_drop": "the published numbers",
    "tau": "the training features' gradient at the target head",
    "residual": f"gradients of training features and {POISONS} at the target head",
    "magnitude_ratio": f"{POISONS} and training features",
    "poisons": "poison files",
    "removed": "poison files",
    "feature_distance": "poison files",
    "pixel_ratio": "poison images and all clean images",
    "psnr": IMAGES,
    "ssim": IMAGES,
    "negative_share": POISONS,
    "distinct_bases": "poison files",
    "dirty_labels": "poison files and training labels",
}
READ = dict.fromkeys(ACCURACIES, "stored accuracies, not computed again: whole networks are not stored")


class MissingInput(ValueError):
    """A stored file that the recomputation needs is not among the recorded inputs; the message names the
    folder."""


@dataclass(frozen=True)
class Recomputed:
    """A cell, where each of its columns came from, and how much rounding on other hardware may move them."""

    cell: Cell
    origins: dict[str, str]
    """By column, in words."""
    slack: float
    """Relative, for all but accuracies; 0 on the kind of machine that made the result."""
    slack_points: float
    """Of accuracies and drops, in percent."""


@dataclass(frozen=True)
class Inputs:
    """The inputs of a record, by stage."""

    record: Record

    def all(self, *stages: str) -> list[Path]:
        """Those in the stages' folders of `data/`, in the record's order."""
        names = [name for name in self.record["inputs"] if any(f"data/{stage}/" in name for stage in stages)]
        return [provenance.ROOT / name for name in names]

    def one(self, stage: str) -> Path:
        """The single one of a stage. Raises MissingInput."""
        found = self.all(stage)
        if len(found) != 1:
            raise MissingInput(
                f"{self.record['program']} recorded {len(found)} inputs in data/{stage}/, expected one"
            )
        return found[0]


def recompute(rows: list[TableLine], table: Record, device: torch.device) -> list[Recomputed]:
    """The cells of rows of one result file; `table` is the record of their table. Raises MissingInput,
    SampleError, StoreError, FileNotFoundError."""
    first = rows[0]
    source = provenance.ROOT / first["source"]
    record = store.read_provenance(source)
    inputs = Inputs(record)
    request = request_of(first)
    number = int(table["settings"]["table"].removeprefix("table"))
    published = Inputs(table).all("published")  # none where the table has no numbers of the paper
    drops = drops_of_table(published[0], number) if published else {}
    printed = drops.get(as_printed(key_of(request.row, request.eps_d)))
    common = fields_of(request) | {"published_drop": printed}
    scenario = _scenario(first["source"], Inputs(table), request)
    arrays, tau = _facts(source, inputs, request)
    stored = request.model_copy(update={"source": str(source)})
    if request.makes == "target":
        cells = [target_cell(common, scenario.drop(stored, "sgd100"), tau)]
    else:
        names = store.lengths(source)
        victims = [row["victim"] for row in rows]
        cells = [
            victim_cell(common, victim, drops_of(stored, victim, scenario, names), arrays, tau)
            for victim in victims
        ]
    same = _same_machine(record, device)
    slack = (0.0, 0.0) if same else (1e-3, 200 / scenario.images)  # two test rows
    return [Recomputed(cell, ORIGINS | (READ if cell.victim == "network" else {}), *slack) for cell in cells]


def _same_machine(record: Record, device: torch.device) -> bool:
    """Whether arithmetic here is that of the machine that made a result, to the last bit."""
    from featpoison.programs import program

    here = provenance.environment(program.device_kind(device))
    return all(record["environment"].get(key) == here.get(key) for key in ("device", "machine", "torch"))


def _scenario(source: str, table: Inputs, request: Request) -> Scenario:
    """The test set and the clean heads that a table compared a result with: those of the result's data set
    and encoder. Raises MissingInput."""
    features = [path for path in table.all("features") if f"/{path.parent.name}/{path.stem}/" in source]
    if len(features) != 1:
        raise MissingInput(
            f"the table recorded {len(features)} feature caches of the data set and encoder of {source}, "
            "expected one"
        )
    clean = None if request.makes == "noise" else str(table.one("heads"))
    return Scenario(ScenarioFiles(features=str(features[0]), clean=clean))


def _target_of(task: Task, path: Path, draw: int) -> tuple[Head, Tensor]:
    """A stored target head, and the gradient of the training features at it."""
    head, _ = read_target(path, draw)
    return head, softmax.head_gradient(task.train, task.train_labels, head)


def _mean_threshold(task: Task, path: Path) -> float:
    """tau, the mean over the stored target heads, from the gradient of the training features."""
    draws = len(store.read(path, "tau")["tau"])
    found = [_target_of(task, path, draw) for draw in range(draws)]
    return float(np.mean([softmax.reachability_threshold(G, head, len(task.train)) for head, G in found]))


def _facts(source: Path, inputs: Inputs, request: Request) -> tuple[Arrays, float | None]:
    """Everything of a result but its drops, by the names of its file, and tau: poisons at the target head and
    beside their bases, the gradient of the training features; of EMN the noise alone."""
    if request.makes == "noise":
        from featpoison.downstream.emn_victims import noise_measures, read_perturbed_sets  # networks

        return noise_measures(read_perturbed_sets(inputs.one("images"), inputs.all("emn"))), None
    task = read_task(inputs.one("features"))
    if request.makes == "target":
        return {}, _mean_threshold(task, source)
    files = inputs.all("poisons", "poisoned_features", "defended")
    poisons = [read_poisons(path) for path in files]
    settings = inputs.record["settings"]
    if settings["base_labels"]:
        poisons = [with_base_labels(one, task) for one in poisons]
    targets, tau = [], None
    if inputs.all("targets"):
        targets = [_target_of(task, inputs.one("targets"), seed) for seed in settings["poison_seeds"]]
        tau = _mean_threshold(task, inputs.one("targets"))
    arrays = feature_measures(task, poisons, targets)
    if inputs.all("images"):
        images = inputs.one("images")
        arrays |= image_measures(poisons, partial(training_pixels, images), largest_pixel(images))
    arrays["removed"] = np.array([store.read_attributes(path).get("removed", 0) for path in files])
    return arrays, tau


def differences(row: TableLine, found: Recomputed) -> list[tuple[str, str, str, bool]]:
    """Column by column of the row what is printed, what was found, and whether the two agree to the printed
    digits."""
    result = []
    for name, value in asdict(found.cell).items():
        text = "" if value is None else written(value) if isinstance(value, float) else str(value)
        result.append((name, row[name], text, row[name] == text or _close(name, row[name], text, found)))
    return result


def _close(name: str, printed: str, computed: str, found: Recomputed) -> bool:
    try:
        one, other = float(printed), float(computed)
    except ValueError:
        return False
    absolute = found.slack_points if name in ACCURACIES else 0.0
    return math.isclose(one, other, rel_tol=2e-6 + found.slack, abs_tol=1e-9 + absolute)
