"""Cells of tables: from result files, to CSV and back."""

import csv
import io
import math

import numpy as np
import pytest
from featpoison import store
from featpoison.attacks import names
from featpoison.results.cells import cells_of, from_csv, largest_swing, perturbed_images, request_of, to_csv
from featpoison.results.rows import Request, Row
from helpers import RECORD
from oracles.pictures import CELLS


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
def files(tmp_path):
    """Clean heads, an attack's victims of two poison and two victim seeds, and a target head."""
    clean, attacked, target = (tmp_path / f"{name}.h5" for name in ("clean", "attacked", "target"))
    before = {"sgd100_accuracy": np.array([[[0.1, 0.6], [0.1, 0.8]]]), "converged_accuracy": np.array([0.7])}
    store.write(clean, before, RECORD)
    hurt = np.array([[[0.0, 0.5], [0.0, 0.6]], [[0.0, 0.55], [0.0, 0.75]]])
    facts = {"residual": np.array([0.2, 0.4]), "feature_magnitude_ratio": np.array([1.0, 3.0])}
    facts |= {"quantized_sgd100_accuracy": hurt - 0.1, "poisons": np.array([90.0, 100.0])}
    facts |= {"removed": np.array([60.0, 50.0]), "ssim": np.array([0.5, 0.75])}
    facts |= {"negative_share": np.array([0.25, 0.75]), "distinct_bases": np.array([7, 8])}
    facts |= {"dirty_labels": np.array([3, 0])}
    arrays = {"sgd100_accuracy": hurt, "converged_accuracy": np.array([0.65, 0.69])}
    store.write(attacked, arrays | facts, RECORD)
    store.write(target, {"omega": np.zeros((2, 2))}, RECORD, accuracy=0.4, clean_accuracy=0.6, tau=1.5)
    return clean, attacked, target


def test_cells_come_from_result_files(files):
    """Paired by victim seed: drops of 10 and 20 points, and of 5 and 5; their means 15 and 5 have a standard
    error of 5, and Student's quantile for one degree of freedom is 12.706."""
    clean, attacked, target = files
    request = asked("feature-matching", attacked, set="free", beta=0.25, target="gradpc-feature")
    sgd, converged = cells_of(request, clean, 1.5, 6.3)
    assert (sgd.seeds, converged.seeds) == ("2x2", "2x1")
    assert (sgd.victim, converged.victim) == ("sgd100", "converged")
    assert sgd.drop == pytest.approx(10.0)
    assert (sgd.drop_low, sgd.drop_high) == pytest.approx((10 - 5 * 12.7062, 10 + 5 * 12.7062), abs=1e-3)
    assert (sgd.clean_accuracy, sgd.accuracy) == (pytest.approx(70), pytest.approx(60))
    assert converged.drop == pytest.approx(3.0)
    assert (sgd.residual, sgd.magnitude_ratio, sgd.tau, sgd.published_drop) == pytest.approx(
        (0.3, 2.0, 1.5, 6.3)
    )
    assert (sgd.drop_8bit, converged.drop_8bit) == (pytest.approx(20.0), None)
    assert sgd.drop_8bit_high - sgd.drop_8bit == pytest.approx(5 * 12.7062, abs=1e-3)
    assert (sgd.poisons, sgd.removed, sgd.ssim, sgd.psnr) == (95, 55, 0.625, None)
    assert (sgd.negative_share, sgd.distinct_bases, sgd.dirty_labels) == (0.5, 7.5, 1.5)
    (head,) = cells_of(asked("gradpc-feature", target), clean, 9.9, None)
    assert (head.victim, head.drop, head.tau, head.drop_low) == ("target", pytest.approx(20.0), 1.5, None)


def test_a_cell_says_what_its_request_said(files):
    clean, attacked, _ = files
    request = asked(
        "feature-matching", attacked, set=2.0, beta=0.25, target="gradpc-feature", defence="magnitude-filter"
    )
    cell = cells_of(request, clean, 1.5, None)[0]
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
def test_a_line_of_a_table_says_its_request_again(files, choices):
    """Through the CSV and back."""
    request = asked("feature-matching", files[1], beta=0.25, **choices)
    cells = cells_of(request, files[0], None, None)
    lines = list(csv.DictReader(io.StringIO(to_csv(cells))))
    assert [request_of(line) for line in lines] == [request] * 2


def test_noise_brings_its_own_clean_victims(tmp_path):
    whole, frozen = tmp_path / "whole.h5", tmp_path / "frozen.h5"
    accuracies = {"network_accuracy": np.array([[0.5], [0.7]]), "clean_network_accuracy": np.array([[0.9]])}
    store.write(whole, accuracies | {"psnr": np.array([30.0, 32.0])}, RECORD, images=200)
    accuracies = {
        "sgd100_accuracy": np.full((2, 2, 3), 0.75),
        "clean_sgd100_accuracy": np.full((1, 2, 3), 0.8),
    }
    accuracies |= {"converged_accuracy": np.full(2, 0.5), "clean_converged_accuracy": np.full(1, 0.75)}
    store.write(frozen, accuracies | {"psnr": np.array([31.0, 31.0])}, RECORD, images=300)
    (cell,) = cells_of(asked("emn-original", whole, math.inf), None, None, 78.0)
    assert (cell.victim, cell.seeds, cell.psnr, cell.tau) == ("network", "2x1", 31.0, None)
    assert (cell.drop, cell.clean_accuracy) == (pytest.approx(30), pytest.approx(90))
    sgd, converged = cells_of(asked("emn-input", frozen, math.inf), None, None, None)
    assert (sgd.drop, converged.drop) == (pytest.approx(5), pytest.approx(25))
    assert perturbed_images([whole, whole]) == 200
    with pytest.raises(ValueError, match=r"\[200, 300\] training images"):
        perturbed_images([whole, frozen])


def test_every_attack_but_noise_needs_clean_heads(files):
    with pytest.raises(ValueError, match="gc-input: no file of clean heads"):
        cells_of(asked("gc-input", files[1], set="free"), None, 1.0, None)


def test_the_largest_swing_is_the_widest_range_of_one_victim(files, tmp_path):
    """Of the victim seed that goes from 0 to 0.75; whole networks have no such record."""
    assert largest_swing([files[1]]) == pytest.approx(75.0)
    store.write(tmp_path / "whole.h5", {"network_accuracy": np.ones((1, 1))}, RECORD)
    assert largest_swing([tmp_path / "whole.h5"]) == 0
    assert perturbed_images([files[1]]) is None


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
    facts = dict.fromkeys(("drop_low", "drop_high", "published_drop", "tau", "residual", "magnitude_ratio"))
    numbers = {"seeds": "1x1", "victim": "sgd100", "clean_accuracy": 1.0, "accuracy": 1.0, "drop": 0.0}
    from featpoison.results.cells import Cell, fields_of

    text = to_csv([Cell(**fields_of(request), **numbers, **facts)])
    (line,) = csv.DictReader(io.StringIO(text))
    assert request_of(line) == request
