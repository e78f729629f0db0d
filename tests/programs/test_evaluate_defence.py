"""The program that runs a defence and trains victims behind it, and the table of its results."""

import json

import numpy as np
import pytest
import torch
from featpoison import store
from featpoison.downstream.task import read_task
from featpoison.downstream.victims import Victims, retrain
from featpoison.heads import SGD100
from featpoison.results.csv_text import from_csv, to_csv
from featpoison.results.defence_cells import DefenceCell, DefenceRow, cells_of
from featpoison.results.rows import Request, Row
from featpoison.results.samples import SampleError, Scenario, ScenarioFiles
from featpoison.solvers.training_sets import TrainingSets
from helpers import RECORD, ROOT, ran

VICTIMS = Victims(sgd100=SGD100(epochs=5, batch_size=32, tail=1), seeds=(0, 1))
GIVEN = ["--victims", VICTIMS.model_dump_json()]


def write_task(path, test_rows=60):
    generator = np.random.default_rng(0)
    arrays = {}
    for name, rows in (("train", 120), ("test", test_rows)):
        labels = np.arange(rows) % 3
        noise = generator.normal(size=(rows, 8))
        arrays |= {name: (3 * np.eye(3, 8)[labels] + noise).astype(np.float32), f"{name}_labels": labels}
    store.write(path, arrays, RECORD, classes=["a", "b", "c"])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A feature cache, clean heads, two files of poisons and the victims of these."""
    folder = tmp_path_factory.mktemp("defences")
    write_task(folder / "features.h5")
    task = read_task(folder / "features.h5")
    clean = TrainingSets.of_clean(task.train, task.train_labels)
    cpu = torch.device("cpu")
    store.write(folder / "clean.h5", retrain(task, clean, VICTIMS, cpu), RECORD)
    features, labels = 8 * task.train[:24].view(2, 12, 8), (task.train_labels[:24].view(2, 12) + 1) % 3
    for seed in (0, 1):
        arrays = {"features": features[seed].numpy(), "labels": labels[seed].numpy()}
        store.write(folder / f"poisons{seed}.h5", arrays, RECORD, eps_d=0.1)
    sets = TrainingSets(task.train, task.train_labels, features, labels)
    store.write(folder / "victims.h5", retrain(task, sets, VICTIMS, cpu), RECORD)
    return folder


def evaluate(place, name, output, *arguments, poisoned=True):
    command = [ROOT / "scripts/evaluate_defence.py", "--defence", name, *GIVEN]
    command += ["--features", str(place / "features.h5"), *map(str, arguments)]
    if poisoned:
        command += ["--poisons", *(str(place / f"poisons{seed}.h5") for seed in (0, 1))]
        command += ["--poison-seeds", "0", "1", "--seconds", str(place / f"{output}.json")]
    command += ["--", str(place / f"{output}.h5")]
    return ran(*command)


@pytest.fixture(scope="module")
def results(place):
    """The norm filter with poisons and without."""
    for output, poisoned in (("filtered", True), ("alone", False)):
        done = evaluate(place, "norm-filter", output, poisoned=poisoned)
        assert done.returncode == 0, done.stderr
    return place


def row(place, **changes) -> DefenceRow:
    attack = Request(
        row=Row(method="exact-feature", set=1.0, scenario="fine-tuning"),
        eps_d=0.1,
        source=str(place / "victims.h5"),
        makes="features",
        title="Exact",
    )
    names = {"source": "filtered.h5", "clean": "alone.h5", "seconds": "filtered.json"}
    paths = {key: str(place / name) for key, name in names.items()}
    return DefenceRow(attack=attack, defence="norm-filter", title="norm filter", **(paths | changes))


def scenario(place) -> Scenario:
    return Scenario(ScenarioFiles(features=str(place / "features.h5"), clean=str(place / "clean.h5")))


def test_a_result_holds_heads_what_they_get_right_and_what_was_removed(results):
    found, facts = store.read(results / "filtered.h5"), store.read_attributes(results / "filtered.h5")
    assert found["sgd100_omega"].shape == (2, 2, 3, 9)
    assert found["sgd100_correct"].shape == (2, 2, 60)
    assert found["converged_correct"].shape == (2, 1, 60)
    assert found["removed_poisons"].tolist() == found["poisons"].tolist() == [12, 12]
    assert found["clean"].tolist() == [120, 120]
    assert facts["filters"]
    assert len(facts["radius"]) == 2
    record = store.read_provenance(results / "filtered.h5")
    assert record["chosen"] == ["scripts/featpoison/defences/norm_filter.py"]
    assert (record["settings"]["defence"], record["settings"]["deviations"]) == ("norm-filter", 3.0)
    assert store.read(results / "alone.h5")["poisons"].tolist() == [0]
    assert all(second > 0 for second in json.loads((results / "filtered.json").read_text()))


def test_a_result_repeats_byte_for_byte_and_seconds_lie_beside_it(results):
    done = evaluate(results, "norm-filter", "again")
    assert done.returncode == 0, done.stderr
    first, again = (store.read(results / f"{name}.h5") for name in ("filtered", "again"))
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_cells_are_means_of_what_is_stored(results, fewer_draws):
    cells = cells_of(row(results), scenario(results))
    assert [(cell.victim, cell.seeds) for cell in cells] == [("sgd100", "2x2"), ("converged", "2x1")]
    clean, victims = store.read(results / "clean.h5"), store.read(results / "victims.h5")
    defended, alone = store.read(results / "filtered.h5"), store.read(results / "alone.h5")
    for cell in cells:
        name = cell.victim
        last = (Ellipsis, -1) if name == "sgd100" else Ellipsis
        accuracy = {
            "clean_accuracy": clean[f"{name}_accuracy"][last].mean(),
            "attacked_accuracy": victims[f"{name}_accuracy"][last].mean(),
            "defended_accuracy": defended[f"{name}_correct"].mean(),
            "defended_clean_accuracy": alone[f"{name}_correct"].mean(),
        }
        for key, value in accuracy.items():
            assert getattr(cell, key) == pytest.approx(100 * value), key
        assert cell.drop == pytest.approx(cell.clean_accuracy - cell.defended_accuracy)
        assert cell.cost == pytest.approx(cell.clean_accuracy - cell.defended_clean_accuracy)
        assert cell.gain == pytest.approx(cell.defended_accuracy - cell.attacked_accuracy)
        assert cell.drop_low <= cell.drop <= cell.drop_high
        lost = defended["removed_clean"].sum()
        assert cell.recall == 100
        assert cell.precision == pytest.approx(100 * 24 / (24 + lost))
        assert cell.clean_lost == pytest.approx(100 * lost / 240)
        assert cell.gain > 0
    text = to_csv(DefenceCell, cells)
    assert to_csv(DefenceCell, from_csv(DefenceCell, text)) == text


def test_a_defence_that_keeps_all_rows_has_no_precision(place, results, fewer_draws):
    done = evaluate(place, "cosine-head", "cosine")
    assert done.returncode == 0, done.stderr
    (first, _) = cells_of(row(place, source=str(place / "cosine.h5")), scenario(place))
    assert (first.precision, first.recall, first.clean_lost) == (None, None, None)


def test_a_result_of_another_test_set_is_named(results, tmp_path, fewer_draws):
    found = store.read(results / "alone.h5")
    shorter = {name: array[..., :50] if "correct" in name else array for name, array in found.items()}
    store.write(tmp_path / "other.h5", shorter, RECORD, filters=True)
    with pytest.raises(SampleError, match=r"other\.h5: of 50 test images, expected the 60 of .*features"):
        cells_of(row(results, clean=str(tmp_path / "other.h5")), scenario(results))


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("prayer", [], "--defence: 'prayer' is unknown"),
        ("sever", ["--encoder", "{}"], "sever reads [] beside features, given are ['encoder']"),
        (
            "random-filter",
            ["--settings", '{"share": 0.99}'],  # one row is left
            "random-filter, poison seed 0: it removes all 44 training rows of class ",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_written(name, arguments, message, place):
    given = [text.replace("{}", str(place / "features.h5")) for text in arguments]
    done = evaluate(place, name, "wrong", *given)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (place / "wrong.h5").exists()
