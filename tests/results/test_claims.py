"""Verdicts on result files whose truth is known: one feature, uniform on [0, 1], and heads that are right above a threshold."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from featpoison import store
from featpoison.render.claims_page import page
from featpoison.results import bootstrap
from featpoison.results.claims import CLAIMS, Key
from featpoison.results.judging import judge
from featpoison.results.samples import Evidence, EvidenceError, read_files, read_published
from helpers import RECORD, ROOT

IMAGES, SEEDS, VICTIM_SEEDS, CLEAN_ERROR = 1500, 3, 5, 0.1
PUBLISHED = ROOT / "data/published/published_results.csv"
# Drops (shares) with which every claim holds, by a wide margin.
AS_CLAIMED = {
    ("gradpc-feature", None): 0.6,
    ("tgda-input", None): 0.3,
    ("gc-input", None): 0.5,
    ("gc-input-constrained", None): 0.1,
    ("gc-feature", None): 0.6,
    ("decoder-inversion", None): 0.16,
    ("feature-matching", 0.25): 0.24,
    ("feature-matching", 0.1): 0.32,
    ("feature-matching-r", 0.25): 0.2,
}
NETWORK_DROPS = {"emn-original": 0.7, "emn-end-to-end": 0.4}
# Harder scenarios cost more, and several-fold stays several-fold.
IN_TRANSFER = {key: drop + (0.05 if key[0] in ("gc-input-constrained", "decoder-inversion") else 0.12) for key, drop in AS_CLAIMED.items()}
IN_PCAM = {("gc-input", None): 0.75, ("feature-matching", 0.1): 0.55}


@pytest.fixture(autouse=True)
def _fewer_draws(monkeypatch):
    monkeypatch.setattr(bootstrap, "DRAWS", 300)
    bootstrap.weights.cache_clear()
    yield
    bootstrap.weights.cache_clear()


def heads(errors: np.ndarray) -> np.ndarray:
    """omega (..., 2, 2) of heads that err on the share `errors` (...) of the test set: class 0 wins where the feature exceeds the error."""
    omega = np.zeros((*errors.shape, 2, 2))
    omega[..., 0, 0] = 1
    omega[..., 0, 1] = -errors
    return omega


def victims(errors: np.ndarray, prefix: str = "") -> dict[str, np.ndarray]:
    """Both victims' arrays for test errors (K, V) of sgd100; the converged one has the first victim seed's."""
    accuracy = lambda error: (uniform()[:, None] > error.ravel()).mean(0).reshape(error.shape)  # noqa: E731
    return {
        f"{prefix}sgd100_omega": heads(errors).astype(np.float32),
        f"{prefix}sgd100_accuracy": np.repeat(accuracy(errors)[..., None], 2, -1),
        f"{prefix}converged_omega": heads(errors[:, 0]),
        f"{prefix}converged_accuracy": accuracy(errors[:, 0]),
    }


def uniform() -> np.ndarray:
    return (np.arange(IMAGES) + 0.5) / IMAGES


class World:
    """Result files in a folder, and the JSON that names them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.scenarios, self.results = folder, {}, []

    def add(
        self, scenario: str, drops: dict, *, eps_d: float = 0.03, residual: float = 0.01, converged: float = 1.0, spread: float = 0.001
    ) -> "World":
        """A scenario whose attacks cost `drops`; of which the converged victim loses the share `converged`."""
        generator = np.random.default_rng(len(self.results))
        place = self.folder / scenario
        clean = np.full((1, VICTIM_SEEDS), CLEAN_ERROR)
        files = {name: place / f"{name}.h5" for name in ("features", "clean", "target")}
        if scenario not in self.scenarios:
            test = {"test": uniform().astype(np.float32)[:, None], "test_labels": np.zeros(IMAGES, np.int64)}
            train = {"train": np.zeros((4, 1), np.float32), "train_labels": np.zeros(4, np.int64)}
            store.write(files["features"], test | train, RECORD, classes=["a", "b"])
            store.write(files["clean"], victims(clean), RECORD)
            error = np.array(CLEAN_ERROR + drops.get(("gradpc-feature", None), 0.0))
            store.write(files["target"], {"omega": heads(error)}, RECORD, tau=1.25)
            self.scenarios[scenario] = {name: str(path) for name, path in files.items()}
        for (method, beta), drop in drops.items():
            path = place / f"{method}-{beta}-{eps_d}.h5"
            if method == "gradpc-feature":
                path = files["target"]
            else:
                noise = spread * generator.normal(size=(SEEDS, VICTIM_SEEDS)) * (drop > 0)
                arrays = victims(CLEAN_ERROR + drop + noise) | {"residual": np.full(SEEDS, residual)}
                exact = victims(CLEAN_ERROR + converged * (drop + noise))
                store.write(path, arrays | {name: exact[name] for name in ("converged_omega", "converged_accuracy")}, RECORD)
            self.results.append([scenario, method, beta, eps_d, str(path)])
        return self

    def add_noise(self, scenario: str, frozen: float, networks: dict[str, float]) -> "World":
        """EMN: its frozen variant with its own clean heads, whole networks with accuracies only."""
        path = self.folder / scenario / "emn-input.h5"
        clean = np.full((1, VICTIM_SEEDS), 0.15)
        store.write(path, victims(np.full((1, VICTIM_SEEDS), 0.15 + frozen)) | victims(clean, "clean_"), RECORD)
        self.results.append([scenario, "emn-input", None, "inf", str(path)])
        for method, drop in networks.items():
            path = self.folder / scenario / f"{method}.h5"
            store.write(path, {"network_accuracy": np.full((1, 1), 0.9 - drop), "clean_network_accuracy": np.full((1, 1), 0.9)}, RECORD)
            self.results.append([scenario, method, None, "inf", str(path)])
        return self

    @property
    def json(self) -> str:
        return json.dumps({"scenarios": self.scenarios, "results": self.results})

    def verdicts(self) -> dict[int, str]:
        evidence = Evidence(read_files(self.json))
        return {claim.number: judge(claim, evidence, read_published(PUBLISHED)).overall for claim in CLAIMS}


def test_a_world_as_claimed(tmp_path):
    world = World(tmp_path).add("fine-tuning", AS_CLAIMED).add("transfer", IN_TRANSFER).add("transfer-pcam", IN_PCAM)
    assert world.add_noise("fine-tuning", 0.05, NETWORK_DROPS).verdicts() == dict.fromkeys(range(1, 11), "supported")


def test_what_is_not_there_is_not_run(tmp_path):
    verdicts = World(tmp_path).add("fine-tuning", AS_CLAIMED).verdicts()
    assert verdicts == dict.fromkeys(range(1, 9), "supported") | {6: "not run", 9: "not run", 10: "not run"}
    without = {key: drop for key, drop in AS_CLAIMED.items() if key[0] not in ("gc-input-constrained", "gc-feature") and key[1] != 0.1}
    assert World(tmp_path / "b").add("fine-tuning", without).verdicts() == {1: "supported"} | dict.fromkeys(range(2, 11), "not run")
    assert World(tmp_path / "c").add("fine-tuning", AS_CLAIMED, eps_d=0.1).verdicts()[8] == "not run"  # the claim is about 0.03


def test_a_world_without_effects_supports_nothing(tmp_path):
    none = dict.fromkeys(AS_CLAIMED, 0.0) | {("gradpc-feature", None): 0.3}
    world = World(tmp_path).add("fine-tuning", none).add("transfer", none)
    world.add_noise("fine-tuning", 0.1, {"emn-original": 0.2, "emn-end-to-end": 0.2})
    assert world.verdicts() == dict.fromkeys(range(1, 10), "not supported") | {10: "not run"}


def test_what_only_sgd100_shows_is_called_instability(tmp_path):
    verdicts = World(tmp_path).add("fine-tuning", AS_CLAIMED, converged=0.0).verdicts()
    for number in (1, 2, 3, 4, 5, 7, 8):
        assert verdicts[number] == "supported (sgd100 only: instability)", number


@pytest.mark.parametrize(("residual", "expected"), [(0.05, "supported"), (0.6, "not supported")])
def test_a_target_is_reached_only_with_a_small_residual(tmp_path, residual, expected):
    assert World(tmp_path).add("fine-tuning", AS_CLAIMED, residual=residual).verdicts()[8] == expected


def test_every_budget_has_to_hold(tmp_path):
    world = World(tmp_path).add("fine-tuning", AS_CLAIMED).add("fine-tuning", AS_CLAIMED | {("feature-matching", 0.25): 0.05}, eps_d=0.1)
    verdicts = world.verdicts()
    assert (verdicts[1], verdicts[3]) == ("supported", "not supported")


def test_an_interval_that_reaches_zero_supports_nothing(tmp_path):
    """A clear advantage on average, from seeds that disagree wildly."""
    world = World(tmp_path).add("fine-tuning", {("gc-input", None): 0.3, ("tgda-input", None): 0.2}, spread=0.1)
    assert world.verdicts()[1] == "not supported"


def test_several_fold_needs_a_drop_to_shrink(tmp_path):
    """Three times less than nothing is nothing: without an unconstrained drop the ratio is undefined and the claim not supported."""
    world = World(tmp_path).add("fine-tuning", {("gc-input", None): 0.0, ("gc-input-constrained", None): -0.05})
    assert world.verdicts()[2] == "not supported"
    evidence, published = Evidence(read_files(world.json)), read_published(PUBLISHED)
    assert "ratio undefined" in page([judge(CLAIMS[1], evidence, published)], evidence, published)
    twice = World(tmp_path / "b").add("fine-tuning", {("gc-input", None): 0.4, ("gc-input-constrained", None): 0.2})
    assert twice.verdicts()[2] == "not supported"


def test_the_papers_own_numbers():
    published = read_published(PUBLISHED)
    assert published[Key("transfer", "emn-input", None, np.inf)] == 7.88
    counts = {claim.number: len(claim.compare(tuple(published))) for claim in CLAIMS}
    assert (counts[1], counts[5], counts[8], counts[9], counts[10]) == (8, 12, 6, 4, 4)


def test_heads_that_belong_to_another_test_set_are_refused(tmp_path):
    world = World(tmp_path).add("fine-tuning", AS_CLAIMED)
    path = Path(world.results[1][4])
    arrays = store.read(path)
    arrays["sgd100_accuracy"] -= 0.01
    store.write(path, arrays, RECORD)
    with pytest.raises(EvidenceError, match=r"tgda-input.*sgd100_accuracy is .* but its heads give"):
        world.verdicts()


def test_evidence_has_to_name_its_scenarios(tmp_path):
    world = World(tmp_path).add("fine-tuning", AS_CLAIMED)
    world.results.append(["moon", "gc-input", None, 0.03, "x.h5"])
    with pytest.raises(EvidenceError, match="'moon', expected one of"):
        read_files(world.json)
    with pytest.raises(EvidenceError, match="expected scenarios and results"):
        read_files("{}")


def test_the_program_writes_the_page_that_the_library_makes(tmp_path, monkeypatch):
    """Another process, the same bytes."""
    monkeypatch.undo()
    world = World(tmp_path).add("fine-tuning", AS_CLAIMED)
    command = [sys.executable, str(ROOT / "scripts/judge_claims.py"), "--evidence", world.json, "--published", str(PUBLISHED)]
    done = subprocess.run([*command, str(tmp_path / "claims.md")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "claims.md").read_text()
    evidence, published = Evidence(read_files(world.json)), read_published(PUBLISHED)
    assert text == page([judge(claim, evidence, published) for claim in CLAIMS], evidence, published)
    record = json.loads((tmp_path / "claims.md.provenance.json").read_text())
    assert len(record["inputs"]) == 3 + (len(AS_CLAIMED) - 1) + 1  # shared files, attacks (the target head is shared), the paper's numbers
    summary = [line for line in text.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert len(summary) == len(CLAIMS)
    assert "fine-tuning 1.250" in text
    for number in range(1, 11):
        assert f"## {number}. " in text
    assert "`sgd100`: 1 of 1 comparisons hold" in text
