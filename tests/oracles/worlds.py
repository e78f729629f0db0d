"""Result files whose truth is known: one feature, uniform on [0, 1], and heads that are right above a
threshold."""

import json
from pathlib import Path

import numpy as np
from featpoison import store
from featpoison.papers import lu2024
from featpoison.papers.lu2024_claims import CLAIMS
from featpoison.results.judging import judge
from featpoison.results.rows import Row
from featpoison.results.samples import Samples, read_files
from helpers import RECORD, ROOT

IMAGES, SEEDS, VICTIM_SEEDS, CLEAN_ERROR = 1500, 3, 5, 0.1
PUBLISHED = ROOT / "data/published/published_results.csv"
TARGET, TAU = "gradpc-feature", 1.25
HEAD, REACHABLE = Row(method=TARGET), Row(method="reachable")
TGDA, TGDA_CONSTRAINED = (Row(method="tgda-input", set=one) for one in ("free", "constrained"))
GC, GC_CONSTRAINED = (Row(method="gc-input", set=one, target=TARGET) for one in ("free", "constrained"))
GC_FEATURE = Row(method="gc-feature", set="free", target=TARGET)
DECODER = Row(method="decoder-inversion", set="free", target=TARGET)
MATCHING, MATCHING_SMALL_BETA = (
    Row(method="feature-matching", set="free", beta=beta, target=TARGET) for beta in (0.25, 0.1)
)
FILTERED = MATCHING.model_copy(update={"defence": "magnitude-filter"})
# Drops (shares) with which every claim holds, by a wide margin.
AS_CLAIMED = {
    HEAD: 0.6,
    TGDA: 0.3,
    GC: 0.5,
    GC_CONSTRAINED: 0.1,
    GC_FEATURE: 0.6,
    DECODER: 0.16,
    MATCHING: 0.24,
    MATCHING_SMALL_BETA: 0.32,
    FILTERED: 0.2,
}
# The attacks of claims 1, 2 and 8 again, towards a head that poisons can hold in place.
GC_REACHABLE, GC_CONSTRAINED_REACHABLE, GC_FEATURE_REACHABLE = (
    row.model_copy(update={"target": REACHABLE.method}) for row in (GC, GC_CONSTRAINED, GC_FEATURE)
)
NETWORK_DROPS = {"emn-original": 0.7, "emn-end-to-end": 0.4}
# Harder scenarios cost more, and several-fold stays several-fold.
IN_TRANSFER = {
    row: drop + (0.05 if row in (GC_CONSTRAINED, DECODER) else 0.12) for row, drop in AS_CLAIMED.items()
}
IN_PCAM = {GC: 0.75, MATCHING_SMALL_BETA: 0.55}


def uniform() -> np.ndarray:
    return (np.arange(IMAGES) + 0.5) / IMAGES


def heads(errors: np.ndarray) -> np.ndarray:
    """omega (..., 2, 2) of heads that err on the share `errors` (...) of the test set: class 0 wins where the
    feature exceeds the error."""
    omega = np.zeros((*errors.shape, 2, 2))
    omega[..., 0, 0] = 1
    omega[..., 0, 1] = -errors
    return omega


def accuracy(errors: np.ndarray) -> np.ndarray:
    return (uniform()[:, None] > errors.ravel()).mean(0).reshape(errors.shape)


def victims(errors: np.ndarray, prefix: str = "") -> dict[str, np.ndarray]:
    """Both victims' arrays for test errors (K, V) of sgd100; the converged one has the first victim
    seed's."""
    return {
        f"{prefix}sgd100_omega": heads(errors).astype(np.float32),
        f"{prefix}sgd100_accuracy": np.repeat(accuracy(errors)[..., None], 2, -1),
        f"{prefix}converged_omega": heads(errors[:, 0]),
        f"{prefix}converged_accuracy": accuracy(errors[:, 0]),
    }


def write_target(path: Path, drop: float, error: float = CLEAN_ERROR) -> None:
    """One draw of a target head that costs `drop`, and what a table says of it."""
    store.write(path, {"omega": heads(np.array([error + drop]))}, RECORD, tau=TAU)


class World:
    """Result files in a folder, and the JSON that names them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.scenarios, self.results = folder, {}, []

    def add(
        self,
        scenario: str,
        drops: dict[Row, float],
        *,
        eps_d: float = 0.03,
        residual: float = 0.01,
        converged: float = 1.0,
        error: float = CLEAN_ERROR,
        spread: float = 0.001,
    ) -> "World":
        """A scenario whose attacks cost `drops`; of which the converged victim loses the share
        `converged`; without poisons both err on the share `error`."""
        generator = np.random.default_rng(len(self.results))
        place = self.folder / scenario
        files = {name: place / f"{name}.h5" for name in ("features", "clean")}
        if scenario not in self.scenarios:
            self.add_shared_files(files, error)
            self.scenarios[scenario] = {name: str(path) for name, path in files.items()}
        for row, drop in drops.items():
            if row in (HEAD, REACHABLE):
                target = place / f"{row.method}.h5"
                write_target(target, drop, error)
                self.name(scenario, row, eps_d, target, "target")
                continue
            path = place / f"{row.choice.segment}-{row.defence}-{eps_d}.h5"
            noise = spread * generator.normal(size=(SEEDS, VICTIM_SEEDS)) * (drop > 0)
            exact = victims(error + converged * (drop + noise))
            arrays = victims(error + drop + noise) | {"residual": np.full(SEEDS, residual)}
            arrays |= {name: exact[name] for name in ("converged_omega", "converged_accuracy")}
            store.write(path, arrays, RECORD, **({} if row.target is None else {"tau": TAU}))
            self.name(scenario, row, eps_d, path, "features" if row.method == "gc-feature" else "images")
        return self

    def add_shared_files(self, files: dict[str, Path], error: float = CLEAN_ERROR) -> None:
        """The test set and the clean heads."""
        test = {"test": uniform().astype(np.float32)[:, None], "test_labels": np.zeros(IMAGES, np.int64)}
        train = {"train": np.zeros((4, 1), np.float32), "train_labels": np.zeros(4, np.int64)}
        store.write(files["features"], test | train, RECORD, classes=["a", "b"])
        store.write(files["clean"], victims(np.full((1, VICTIM_SEEDS), error)), RECORD)

    def add_noise(self, scenario: str, frozen: float, networks: dict[str, float]) -> "World":
        """EMN: its frozen variant with its own clean heads, whole networks with accuracies only."""
        path = self.folder / scenario / "emn-input.h5"
        clean = np.full((1, VICTIM_SEEDS), 0.15)
        store.write(path, victims(clean + frozen) | victims(clean, "clean_"), RECORD)
        self.name(scenario, Row(method="emn-input"), "inf", path, "noise")
        for method, drop in networks.items():
            path = self.folder / scenario / f"{method}.h5"
            arrays = {"network_accuracy": np.full((1, 1), 0.9 - drop)}
            store.write(path, arrays | {"clean_network_accuracy": np.full((1, 1), 0.9)}, RECORD)
            self.name(scenario, Row(method=method), "inf", path, "noise")
        return self

    def name(self, scenario: str, row: Row, eps_d: float | str, source: Path, makes: str) -> None:
        """Add a cell to the JSON."""
        own = row.model_dump(exclude_none=True) | {"scenario": scenario}
        title = f"the {row.method} row"
        cell = {"row": own, "eps_d": eps_d, "source": str(source), "makes": makes, "title": title}
        self.results.append(cell)

    @property
    def json(self) -> str:
        return json.dumps({"scenarios": self.scenarios, "results": self.results})

    @property
    def samples(self) -> Samples:
        return Samples(read_files(self.json))

    def verdicts(self) -> dict[int, str]:
        samples, published = self.samples, lu2024.drops(PUBLISHED)
        return {claim.number: judge(claim, samples, published).overall for claim in CLAIMS}
