"""Cells of tables: from result files, to CSV and back."""

import csv
import io
import math

import numpy as np
import pytest
from featpoison import store
from featpoison.attacks import names
from featpoison.results.bootstrap import STREAM, contrast, of_images
from featpoison.results.cells import cells_of, from_csv, largest_swing, perturbed_images, request_of, to_csv
from featpoison.results.rows import Request, Row
from featpoison.results.samples import Scenario, ScenarioFiles
from helpers import RECORD
from oracles.pictures import CELLS
from oracles.worlds import World, heads, uniform, victims, write_target


def asked(method, source, eps_d=0.03, **choices):
    row = Row(method=method, scenario="fine-tuning", **choices)
    attack = names.load(method)
    return Request(
        row=row, eps_d=eps_d, source=str(source), makes=attack.makes, title=attack.title, group=attack.tint
    )


def test_csv_round_trip_and_door():
    text = to_csv(CELLS)
    header = text.splitlines()[0]
    assert header.startswith(
        "method,beta,eps_d,seeds,victim,clean_accuracy,accuracy,drop,drop_low,drop_high,published_drop,tau,"
        "residual,magnitude_ratio,source"
    )
    assert header.endswith(
        "set,target,defence,scenario,makes,title,group,cap,pairing,label,negative_share,distinct_bases,dirty_labels"
    )
    assert from_csv(text) == CELLS
    with pytest.raises(ValueError, match="expected"):
        from_csv("a,b\n1,2\n")


@pytest.fixture
def world(tmp_path):
    """A test set of 1500 images, clean heads of two victim seeds that err on 40 % and 20 %, and a target
    head that errs on 60 %."""
    world = World(tmp_path)
    files = {name: tmp_path / f"{name}.h5" for name in ("features", "clean", "target")}
    world.add_shared_files(files)
    write_target(files["target"], 0.5)
    clean = victims(np.array([[0.4, 0.2]])) | {"converged_omega": heads(np.array([0.3]))}
    store.write(files["clean"], clean | {"converged_accuracy": np.array([0.7])}, RECORD)
    return files


@pytest.fixture
def scenario(world):
    return Scenario(ScenarioFiles(features=str(world["features"]), clean=str(world["clean"])))


@pytest.fixture
def attacked(tmp_path):
    """An attack's victims of two poison and two victim seeds."""
    hurt = np.array([[0.5, 0.4], [0.45, 0.25]])
    arrays = victims(hurt) | {"converged_omega": heads(np.array([0.35, 0.31]))}
    arrays["converged_accuracy"] = np.array([0.65, 0.69])
    arrays["sgd100_accuracy"][1, 1, 0] = 0
    facts = {"residual": np.array([0.2, 0.4]), "feature_magnitude_ratio": np.array([1.0, 3.0])}
    rounded = {name: array for name, array in victims(hurt + 0.1, "quantized_").items() if "sgd" in name}
    facts |= {"poisons": np.array([90.0, 100.0]), "removed": np.array([60.0, 50.0])}
    facts |= rounded | {"ssim": np.array([0.5, 0.75])}
    facts |= {"negative_share": np.array([0.25, 0.75]), "distinct_bases": np.array([7, 8])}
    facts |= {"dirty_labels": np.array([3, 0])}
    store.write(tmp_path / "attacked.h5", arrays | facts, RECORD, tau=1.5)
    return tmp_path / "attacked.h5"


def test_cells_come_from_result_files(world, scenario, attacked):
    """Paired by victim seed, drops of 10 and 20 points and of 5 and 5."""
    request = asked("feature-matching", attacked, set="free", beta=0.25, target="gradpc-feature")
    sgd, converged = cells_of(request, scenario, 6.3)
    assert (sgd.seeds, converged.seeds) == ("2x2", "2x1")
    assert (sgd.victim, converged.victim) == ("sgd100", "converged")
    assert sgd.drop == pytest.approx(10.0)
    assert (sgd.clean_accuracy, sgd.accuracy) == (pytest.approx(70), pytest.approx(60))
    assert converged.drop == pytest.approx(3.0)
    assert (sgd.residual, sgd.magnitude_ratio, sgd.tau, sgd.published_drop) == pytest.approx(
        (0.3, 2.0, 1.5, 6.3)
    )
    assert (sgd.drop_8bit, converged.drop_8bit) == (pytest.approx(20.0), None)
    assert sgd.drop_8bit_low < 20 < sgd.drop_8bit_high
    assert (sgd.poisons, sgd.removed, sgd.ssim, sgd.psnr) == (95, 55, 0.625, None)
    assert (sgd.negative_share, sgd.distinct_bases, sgd.dirty_labels) == (0.5, 7.5, 1.5)
    (head,) = cells_of(asked("gradpc-feature", world["target"]), scenario, None)
    assert (head.victim, head.seeds, head.tau) == ("target", "1x1", 1.25)
    assert (head.clean_accuracy, head.drop) == (pytest.approx(70), pytest.approx(30))
    assert head.drop_low < 30 < head.drop_high


def test_intervals_are_those_of_the_bootstrap(world, scenario, attacked):
    """From which image which head gets right; a head is right above its error."""
    image, hurt = uniform(), np.array([[0.5, 0.4], [0.45, 0.25]])
    clean = image > np.array([[0.4, 0.2]])[..., None]
    request = asked("feature-matching", attacked, set="free", beta=0.25, target="gradpc-feature")
    (sgd, _), (head,) = (
        cells_of(one, scenario, None) for one in (request, asked("gradpc-feature", world["target"]))
    )
    for found, errors in (
        ((sgd.drop, sgd.drop_low, sgd.drop_high), hurt),
        ((sgd.drop_8bit, sgd.drop_8bit_low, sgd.drop_8bit_high), hurt + 0.1),
        ((head.drop, head.drop_low, head.drop_high), np.array([[0.6]])),
    ):
        expected = contrast(of_images(clean, image > errors[..., None], STREAM))
        assert found == pytest.approx((expected.mean, expected.low, expected.high))


def test_a_cell_says_what_its_request_said(scenario, attacked):
    request = asked(
        "feature-matching", attacked, set=2.0, beta=0.25, target="gradpc-feature", defence="magnitude-filter"
    )
    cell = cells_of(request, scenario, None)[0]
    assert (cell.method, cell.set, cell.beta, cell.target) == (
        "feature-matching",
        "2",
        0.25,
        "gradpc-feature",
    )
    assert (cell.defence, cell.scenario, cell.makes) == ("magnitude-filter", "fine-tuning", "images")
    assert (cell.title, cell.group, cell.source) == ("Feature matching", "targeted", str(attacked))
    assert (cell.cap, cell.pairing, cell.label) == (None, None, None)


@pytest.mark.parametrize(
    "choices",
    [
        {"set": 2.0, "target": "permuted"},
        {"set": "free"},
        {"set": "emittable", "cap": 4.0, "pairing": "within-class", "target": "reachable"},
        {"set": "emittable", "cap": 0.5, "label": "base", "defence": "magnitude-filter"},
    ],
)
def test_a_line_of_a_table_says_its_request_again(scenario, attacked, choices):
    """Through the CSV and back."""
    request = asked("feature-matching", attacked, beta=0.25, **choices)
    cells = cells_of(request, scenario, None)
    lines = list(csv.DictReader(io.StringIO(to_csv(cells))))
    assert [request_of(line) for line in lines] == [request] * 2


def test_noise_brings_its_own_clean_victims(tmp_path, world):
    whole, frozen = tmp_path / "whole.h5", tmp_path / "frozen.h5"
    accuracies = {"network_accuracy": np.array([[0.5], [0.7]]), "clean_network_accuracy": np.array([[0.9]])}
    accuracies["quantized_network_accuracy"] = np.array([[0.6], [0.7]])
    store.write(whole, accuracies | {"psnr": np.array([30.0, 32.0])}, RECORD, images=200)
    linear = victims(np.full((2, 2), 0.25)) | victims(np.full((1, 2), 0.2), "clean_")
    store.write(frozen, linear | {"psnr": np.array([31.0, 31.0])}, RECORD, images=300)
    alone = Scenario(ScenarioFiles(features=str(world["features"])))
    (cell,) = cells_of(asked("emn-original", whole, math.inf), alone, 78.0)
    assert (cell.victim, cell.seeds, cell.psnr, cell.tau) == ("network", "2x1", 31.0, None)
    assert (cell.drop, cell.clean_accuracy) == (pytest.approx(30), pytest.approx(90))
    assert cell.drop_8bit == pytest.approx(25)
    assert cell.drop_low < 25
    assert cell.drop_high > 35
    sgd, converged = cells_of(asked("emn-input", frozen, math.inf), alone, None)
    assert (sgd.drop, converged.drop) == (pytest.approx(5), pytest.approx(5))
    assert (sgd.clean_accuracy, sgd.seeds, converged.seeds) == (pytest.approx(80), "2x2", "2x1")
    assert 3 < sgd.drop_low < 5 < sgd.drop_high < 7
    assert perturbed_images([whole, whole]) == 200
    with pytest.raises(ValueError, match=r"\[200, 300\] training images"):
        perturbed_images([whole, frozen])


def test_every_attack_but_noise_needs_clean_heads(world, attacked):
    with pytest.raises(ValueError, match="gc-input: no file of clean heads"):
        cells_of(
            asked("gc-input", attacked, set="free"),
            Scenario(ScenarioFiles(features=str(world["features"]))),
            None,
        )


def test_the_largest_swing_is_the_widest_range_of_one_victim(attacked, tmp_path):
    """Of the victim seed that goes from 0 to 0.75; whole networks have no such record."""
    assert largest_swing([attacked]) == pytest.approx(75.0)
    store.write(tmp_path / "whole.h5", {"network_accuracy": np.ones((1, 1))}, RECORD)
    assert largest_swing([tmp_path / "whole.h5"]) == 0
    assert perturbed_images([attacked]) is None


@pytest.mark.parametrize(
    ("method", "eps_d", "choices"),
    [
        ("gradpc-input", 0.03, {}),
        ("tgda-input", 1.0, {"set": "constrained"}),
        ("gc-feature", 0.1, {"set": 2.0, "target": "gradpc-feature"}),
        ("feature-matching", 0.1, {"set": "free", "beta": 0.05, "target": "gradpc-input"}),
        ("exact-input", 0.5, {"set": "free", "defence": "magnitude-filter"}),
        ("emn-input", math.inf, {}),
    ],
)
def test_the_request_behind_a_line_comes_back(method, eps_d, choices):
    request = asked(method, "data/v.h5", eps_d, **choices)
    facts = dict.fromkeys(("published_drop", "tau", "residual", "magnitude_ratio"))
    numbers = {"seeds": "1x1", "victim": "sgd100", "clean_accuracy": 1.0, "accuracy": 1.0, "drop": 0.0}
    numbers |= {"drop_low": -1.0, "drop_high": 1.0}
    from featpoison.results.cells import Cell, fields_of

    text = to_csv([Cell(**fields_of(request), **numbers, **facts)])
    (line,) = csv.DictReader(io.StringIO(text))
    assert request_of(line) == request
