"""What the claims are judged on: accuracy drops as samples over seeds and test images, read from result files."""

import csv
import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from featpoison import store
from featpoison.common.settings import Settings
from featpoison.downstream.stored import read_task
from featpoison.results.bootstrap import Sample, of_accuracies, of_images
from featpoison.results.claims import Key
from featpoison.softmax import Head, logits

VICTIMS = ("sgd100", "converged")
NETWORKS = ("emn-original", "emn-end-to-end")
TARGETS = ("gradpc-feature", "gradpc-input")
AGREEMENT = 0.002  # share of test images: another processor's last bit may turn a tie, nothing more
# The scenario of each of the paper's tables; Table 4 names it in its methods.
PUBLISHED_SCENARIOS = {
    "1": "fine-tuning",
    "2": "transfer",
    "3": "transfer",
    "5": "transfer-vit",
    "6": "transfer-clip",
    "7": "transfer-cifar100",
    "8": "transfer-pcam",
}


class EvidenceError(ValueError):
    """A result file does not fit the others; the message names it, the value and what was expected."""


class Task(Settings):
    """The files that all results of a scenario share."""

    features: str
    """Feature cache."""
    clean: str
    """Clean heads."""
    target: str
    """Target head of the attacks."""


class Files(Settings):
    """Which file is which."""

    scenarios: dict[str, Task]
    """By the scenario's name."""
    results: tuple[tuple[str, str, float | None, float, str], ...]
    """Scenario, method, beta, eps_d and file of each cell that the configuration's tables declare."""


def read_files(text: str) -> Files:
    """`Files` from JSON; eps_d may be Infinity or "inf". Raises EvidenceError."""
    values = json.loads(text)
    try:
        cells = [(scenario, method, beta, float(eps_d), path) for scenario, method, beta, eps_d, path in values["results"]]
        files = Files.model_construct(
            scenarios={name: Task(**task) for name, task in values["scenarios"].items()}, results=tuple(dict.fromkeys(cells))
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError(f"evidence: {error}; expected scenarios and results") from None
    unknown = {cell[0] for cell in files.results} - files.scenarios.keys()
    if unknown:
        raise EvidenceError(f"evidence: results of scenario {sorted(unknown)[0]!r}, expected one of {sorted(files.scenarios)}")
    return files


class Evidence:
    """Drops by key and victim; every file is read once."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.paths = {Key(*cell[:4]): Path(cell[4]) for cell in files.results}
        self.task = cache(lambda scenario: read_task(Path(files.scenarios[scenario].features)))
        self.sample = cache(self._sample)

    @property
    def keys(self) -> Sequence[Key]:
        """What there are numbers for, in the order of the tables."""
        return tuple(self.paths)

    @property
    def inputs(self) -> list[Path]:
        """Every file that a number may come from."""
        shared = [Path(path) for task in self.files.scenarios.values() for path in (task.features, task.clean, task.target)]
        return sorted({*shared, *self.paths.values()})

    def tau(self, scenario: str) -> float:
        """The reachability threshold of the scenario's target head."""
        return store.read_attributes(Path(self.files.scenarios[scenario].target))["tau"]

    def residual(self, key: Key) -> float:
        """Mean ||R|| / ||G|| over poison seeds."""
        return float(np.mean(store.read(self.paths[key], "residual")["residual"]))

    def _sample(self, key: Key, victim: str, stream: int) -> Sample:
        """The drop of one result for one victim; samples of one `stream` and scenario share their draws."""
        path = self.paths[key]
        if key.method in NETWORKS:
            arrays = store.read(path, "clean_network_accuracy", "network_accuracy")
            return of_accuracies(arrays["clean_network_accuracy"], arrays["network_accuracy"], len(self.task(key.scenario).test), stream)
        own = key.method == "emn-input"  # its clean heads were trained as its poisoned ones, with augmentation
        clean_file = path if own else Path(self.files.scenarios[key.scenario].clean)
        clean = self._correct(key.scenario, clean_file, f"clean_{victim}" if own else victim)
        if key.method in TARGETS:
            omega = torch.from_numpy(store.read(path, "omega")["omega"])
            return of_images(clean, self._predict(key.scenario, omega[None, None]), stream)
        return of_images(clean, self._correct(key.scenario, path, victim), stream)

    def _correct(self, scenario: str, path: Path, victim: str) -> np.ndarray:
        """Which test images the heads of a file classify correctly, (K, V, m); V = 1 for the converged victim."""
        arrays = store.read(path, f"{victim}_omega", f"{victim}_accuracy")
        omega, stored = torch.from_numpy(arrays[f"{victim}_omega"]), arrays[f"{victim}_accuracy"]
        sgd = victim.endswith("sgd100")
        correct = self._predict(scenario, omega if sgd else omega.unsqueeze(1))
        expected, found = float(np.mean(stored[..., -1] if sgd else stored)), float(correct.mean())
        if not math.isclose(expected, found, abs_tol=AGREEMENT):
            features = self.files.scenarios[scenario].features
            raise EvidenceError(f"{path}: {victim}_accuracy is {expected:.4f}, but its heads give {found:.4f} on the test set of {features}")
        return correct

    def _predict(self, scenario: str, omega: Tensor) -> np.ndarray:
        """(K, V, C, d+1) -> (K, V, m) bool, in float64."""
        task = self.task(scenario)
        test = task.test.double()
        rows = [logits(test, Head.from_omega(one)).argmax(-1) == task.test_labels for one in omega.double().flatten(0, 1)]
        return torch.stack(rows).reshape(*omega.shape[:2], -1).numpy()


def read_published(path: Path) -> dict[Key, float]:
    """The paper's drops, in points."""
    drops = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            method, _, scenario = row["method"].partition("/")
            scenario = scenario or PUBLISHED_SCENARIOS[row["table"]]
            beta = float(row["beta"]) if row["beta"] else None
            drops[Key(scenario, method, beta, float(row["eps_d"]))] = float(row["accuracy_drop"])
    return drops
