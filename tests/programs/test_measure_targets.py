"""Measures of targets as a program: what it writes, and wrong usage."""

import json

import numpy as np
import pytest
from featpoison import store
from featpoison.pretraining.poison_files import PoisonFile

EXPOSURE = json.dumps({"epochs": 3, "augmentation": {}, "subset": None, "share": 0.75})


@pytest.fixture
def poisons(files, execute, tmp_path):
    """A poisoning set for the files of this folder, aimed at four test images."""
    execute(
        "poison_pretraining",
        *("--attack", "poisoned-encoder", "--images", files["images"]),
        *("--downstream", f"letters={files['images']}", "--rate", 0.5, "--seed", 1),
        *("--settings", json.dumps({"targets": {"letters": 4}, "references": 3})),
        *("--", tmp_path / "poisons.h5"),
    )
    return tmp_path / "poisons.h5"


@pytest.fixture
def heads(files, execute, tmp_path):
    """Both victims on the features of this folder."""
    settings = json.dumps({"seeds": [0, 1], "sgd100": {"epochs": 10, "batch_size": 16}})
    execute("train_heads", "--features", files["features"], "--settings", settings, tmp_path / "heads.h5")
    return tmp_path / "heads.h5"


def arguments_of(files, poisons, heads, task="letters"):
    own = ("--poisons", poisons, "--task", task)
    return [*own, "--features", files["features"], "--heads", heads]


def test_every_target_of_the_task_is_measured(files, poisons, heads, execute, tmp_path):
    seen = ("--exposure", EXPOSURE, "--seen-images", files["images"], "--seen-poisons", poisons)
    execute("measure_targets", *arguments_of(files, poisons, heads), *seen, tmp_path / "seen.h5")
    execute("measure_targets", *arguments_of(files, poisons, heads), tmp_path / "unseen.h5")
    one, other = store.read(tmp_path / "seen.h5"), store.read(tmp_path / "unseen.h5")
    pairs = list(zip(one["target"].tolist(), one["label"].tolist(), strict=True))
    assert [(0, *pair) for pair in pairs] == PoisonFile(poisons).targets()
    assert len(pairs) == 4
    assert (one["cross_pairs"] > 0).all()
    assert (other["cross_pairs"] == 0).all()
    for name in ("sgd100_predictions", "converged_rank", "cosine"):
        np.testing.assert_array_equal(one[name], other[name])
    assert set(store.read_provenance(tmp_path / "unseen.h5")["inputs"]) == {
        str(path) for path in (poisons, files["features"], heads)
    }


WRONG = [
    ("letters", ["--exposure", EXPOSURE], "expected all of them or none"),
    ("numbers", [], "'task' is 'numbers', expected one of letters"),
]


def test_wrong_usage_is_named(files, poisons, heads, execute, capsys):
    output = poisons.with_name("out.h5")
    for task, more, message in WRONG:
        with pytest.raises(SystemExit) as stopped:
            execute("measure_targets", *arguments_of(files, poisons, heads, task), *more, output)
        assert message in capsys.readouterr().err + str(stopped.value)
    assert not output.exists()
