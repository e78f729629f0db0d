"""Accuracy drops as samples over seeds and test images, read from result files: what claims are judged on."""

import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pydantic
import torch
from torch import Tensor

from featpoison import store
from featpoison.common.settings import Settings
from featpoison.downstream.task import read_task
from featpoison.results.bootstrap import Sample, of_accuracies, of_images
from featpoison.results.claims import Key, key_of
from featpoison.results.rows import Request, read_request
from featpoison.softmax import Head, logits

VICTIMS = ("sgd100", "converged")
AGREEMENT = 0.002  # share of test images: another processor's last bit may turn a tie, nothing more


class SampleError(ValueError):
    """A result file does not fit the others; the message names it, the value and what was expected."""


class ScenarioFiles(Settings):
    """The files that all results of a scenario share."""

    features: str
    """Feature cache."""
    clean: str
    """Clean heads."""


class ResultFiles(Settings):
    """Which file is which."""

    scenarios: dict[str, ScenarioFiles]
    """By the scenario's name."""
    results: tuple[Request, ...]
    """Each cell that the configuration's tables declare; its row names its scenario."""


def read_files(text: str) -> ResultFiles:
    """`ResultFiles` from JSON; eps_d may be "inf". Raises SampleError."""
    values = json.loads(text)
    try:
        requests = [read_request(cell) for cell in values["results"]]
        scenarios = {name: ScenarioFiles(**files) for name, files in values["scenarios"].items()}
    except (KeyError, TypeError, ValueError, pydantic.ValidationError) as error:
        raise SampleError(f"results: {error}; expected scenarios and results") from None
    unknown = {request.row.scenario for request in requests} - scenarios.keys()
    if unknown:
        name = sorted(map(str, unknown))[0]
        raise SampleError(f"results: one is of scenario {name!r}, expected one of {sorted(scenarios)}")
    return ResultFiles.model_construct(scenarios=scenarios, results=tuple(dict.fromkeys(requests)))


class Samples:
    """Drops by key and victim; every file is read once."""

    def __init__(self, files: ResultFiles) -> None:
        self.files = files
        self.requests = {key_of(request.row, request.eps_d): request for request in files.results}
        self.task = cache(lambda scenario: read_task(Path(files.scenarios[scenario].features)))
        self.sample = cache(self._sample)

    @property
    def keys(self) -> Sequence[Key]:
        """What there are numbers for, in the order of the tables."""
        return tuple(self.requests)

    @property
    def inputs(self) -> list[Path]:
        """Every file that a number may come from."""
        shared = [
            Path(path) for files in self.files.scenarios.values() for path in (files.features, files.clean)
        ]
        return sorted({*shared, *map(self.source, self.requests)})

    def source(self, key: Key) -> Path:
        """The result file of a key."""
        return Path(self.requests[key].source)

    def title(self, key: Key) -> str:
        """The title of the key's row; of a key that only a publication has, its method."""
        return self.requests[key].title if key in self.requests else key.method

    def tau(self, key: Key) -> float | None:
        """The reachability threshold of the row's target head; None for a row without one."""
        return store.read_attributes(self.source(key)).get("tau")

    def residual(self, key: Key) -> float:
        """Mean ||R|| / ||G|| over poison seeds."""
        return float(np.mean(store.read(self.source(key), "residual")["residual"]))

    def _sample(self, key: Key, victim: str, stream: int) -> Sample:
        """The drop of one result for one victim; samples of one `stream` and scenario share their draws."""
        request, path = self.requests[key], self.source(key)
        if request.makes == "noise" and "network_accuracy" in store.lengths(path):  # whole networks
            arrays = store.read(path, "clean_network_accuracy", "network_accuracy")
            return of_accuracies(
                arrays["clean_network_accuracy"],
                arrays["network_accuracy"],
                len(self.task(key.scenario).test),
                stream,
            )
        own = request.makes == "noise"  # its clean heads were trained as its poisoned ones, with augmentation
        clean_file = path if own else Path(self.files.scenarios[key.scenario].clean)
        clean = self._correct(key.scenario, clean_file, f"clean_{victim}" if own else victim)
        if request.makes == "target":
            omega = torch.from_numpy(store.read(path, "omega")["omega"])
            return of_images(clean, self._predict(key.scenario, omega[:, None]), stream)  # one or more draws
        return of_images(clean, self._correct(key.scenario, path, victim), stream)

    def _correct(self, scenario: str, path: Path, victim: str) -> np.ndarray:
        """Which test images the heads of a file classify correctly, (K, V, m); V = 1 for the converged
        victim."""
        arrays = store.read(path, f"{victim}_omega", f"{victim}_accuracy")
        omega, stored = torch.from_numpy(arrays[f"{victim}_omega"]), arrays[f"{victim}_accuracy"]
        sgd = victim.endswith("sgd100")
        correct = self._predict(scenario, omega if sgd else omega.unsqueeze(1))
        expected, found = float(np.mean(stored[..., -1] if sgd else stored)), float(correct.mean())
        if not math.isclose(expected, found, abs_tol=AGREEMENT):
            features = self.files.scenarios[scenario].features
            raise SampleError(
                f"{path}: {victim}_accuracy is {expected:.4f}, but its heads give {found:.4f} on the test "
                f"set of {features}"
            )
        return correct

    def _predict(self, scenario: str, omega: Tensor) -> np.ndarray:
        """(K, V, C, d+1) -> (K, V, m) bool, in float64."""
        task = self.task(scenario)
        test = task.test.double()
        rows = [
            logits(test, Head.from_omega(one)).argmax(-1) == task.test_labels
            for one in omega.double().flatten(0, 1)
        ]
        return torch.stack(rows).reshape(*omega.shape[:2], -1).numpy()
