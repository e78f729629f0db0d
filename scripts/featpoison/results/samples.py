"""Accuracy drops as samples over seeds and test images, from the heads in result files: what tables print and
claims are judged on."""

import json
import math
from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pydantic
import torch
from torch import Tensor

from featpoison import store
from featpoison.common.settings import Settings
from featpoison.downstream.task import Task, read_task
from featpoison.results.bootstrap import STREAM, Sample, of_accuracies, of_images
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
    clean: str | None = None
    """Clean heads; not needed for EMN, whose results bring their own."""


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


class Scenario:
    """Drops on the test set of one scenario."""

    def __init__(self, files: ScenarioFiles) -> None:
        self.files = files
        self._clean = cache(self._correct)  # by victim: each row of a table is compared with the same heads

    @cached_property
    def task(self) -> Task:
        """Features and labels."""
        return read_task(Path(self.files.features))

    @cached_property
    def images(self) -> int:
        """Number of test images."""
        return store.lengths(Path(self.files.features))["test_labels"]

    def clean_correct(self, victim: str) -> np.ndarray:
        """Which test images the clean heads of a victim classify correctly, bool (1, V, m)."""
        assert self.files.clean is not None
        return self._clean(Path(self.files.clean), victim)

    def drop(self, request: Request, victim: str, stream: int = STREAM, *, rounded: bool = False) -> Sample:
        """The drop of one result for one victim, `rounded`: of the 8-bit copies of its poisons. Samples of
        one `stream` and scenario share their draws.

        Whole networks are known by their accuracies alone, and have one kind of victim whatever is asked for.
        A target head is compared with the clean heads of the victim. Raises SampleError where heads and
        accuracies of a file do not agree.
        """
        path, eight_bit = Path(request.source), "quantized_" if rounded else ""
        if request.makes == "noise" and "network_accuracy" in store.lengths(path):
            names = "clean_network_accuracy", f"{eight_bit}network_accuracy"
            clean, poisoned = (store.read(path, name)[name] for name in names)
            return of_accuracies(clean, poisoned, self.images, stream)
        if request.makes == "noise":  # its clean heads were trained as its poisoned ones, with augmentation
            correct = self._correct(path, f"clean_{victim}")
        elif self.files.clean is None:
            raise SampleError(
                f"{request.row.method}: no file of clean heads, expected one for every attack but EMN"
            )
        else:
            correct = self._clean(Path(self.files.clean), victim)
        if request.makes == "target":
            omega = torch.from_numpy(store.read(path, "omega")["omega"])
            return of_images(correct, self._predict(omega[:, None]), stream)  # one head, or one for each draw
        return of_images(correct, self._correct(path, f"{eight_bit}{victim}"), stream)

    def _correct(self, path: Path, victim: str) -> np.ndarray:
        """Which test images the heads of a file classify correctly, (K, V, m); V = 1 for the converged
        victim."""
        arrays = store.read(path, f"{victim}_omega", f"{victim}_accuracy")
        omega, stored = torch.from_numpy(arrays[f"{victim}_omega"]), arrays[f"{victim}_accuracy"]
        sgd = victim.endswith("sgd100")
        correct = self._predict(omega if sgd else omega.unsqueeze(1))
        expected, found = float(np.mean(stored[..., -1] if sgd else stored)), float(correct.mean())
        if not math.isclose(expected, found, abs_tol=AGREEMENT):
            raise SampleError(
                f"{path}: {victim}_accuracy is {expected:.4f}, but its heads give {found:.4f} on the test "
                f"set of {self.files.features}"
            )
        return correct

    @cached_property
    def _test(self) -> Tensor:
        return self.task.test.double()

    def _predict(self, omega: Tensor) -> np.ndarray:
        """(K, V, C, d+1) -> (K, V, m) bool, in float64; all heads in one product, which is three times as
        fast as one by one."""
        heads = Head.from_omega(omega.double().flatten(0, 2))  # (K V C, d), as if they were classes
        scores = logits(self._test, heads).unflatten(-1, omega.shape[:3])  # (m, K, V, C)
        correct = scores.argmax(-1) == self.task.test_labels[:, None, None]
        return correct.permute(1, 2, 0).contiguous().numpy()


class Samples:
    """Drops by key and victim; every file is read once."""

    def __init__(self, files: ResultFiles) -> None:
        self.files = files
        self.requests = {key_of(request.row, request.eps_d): request for request in files.results}
        self.scenarios = {name: Scenario(own) for name, own in files.scenarios.items()}
        self.sample = cache(self._sample)

    @property
    def keys(self) -> Sequence[Key]:
        """What there are numbers for, in the order of the tables."""
        return tuple(self.requests)

    @property
    def inputs(self) -> list[Path]:
        """Every file that a number may come from."""
        shared = [
            Path(path)
            for files in self.files.scenarios.values()
            for path in (files.features, files.clean)
            if path is not None
        ]
        return sorted({*shared, *(Path(request.source) for request in self.files.results)})

    def scenario(self, request: Request) -> Scenario:
        """The scenario of a result."""
        return self.scenarios[str(request.row.scenario)]

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
        request = self.requests[key]
        return self.scenario(request).drop(request, victim, stream)
