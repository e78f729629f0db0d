"""Cells of the ablation: their paired differences, counted anew."""

import json

import numpy as np
import pytest
from featpoison import store
from featpoison.results.ablation import cells_of_rows, read_rows
from featpoison.results.ablation_cells import from_csv, to_csv
from featpoison.results.bootstrap import STREAM, contrast, of_images
from featpoison.results.samples import SampleError
from helpers import RECORD
from oracles.worlds import CLEAN_ERROR, GC_FEATURE, World, uniform, victims

FULL = np.array([[0.5, 0.4], [0.45, 0.3]])
OTHER = np.array([[0.3, 0.35], [0.2, 0.3]])
ROWS = {name: GC_FEATURE.model_copy(update={"target": name}) for name in ("reachable", "permuted")}


@pytest.fixture
def world(tmp_path):
    """Two attacks on one test set, with two poison and two victim seeds."""
    world = World(tmp_path)
    world.add("fine-tuning", {})
    errors = dict(zip(ROWS, (FULL, OTHER), strict=True))
    for name, row in ROWS.items():
        path = tmp_path / f"{name}.h5"
        arrays = victims(errors[name]) | {"residual": np.array([0.1, 0.3])}
        store.write(path, arrays, RECORD, tau=0.01)
        world.name("fine-tuning", row, 0.03, path, "features")
    # The clean heads of as many victim seeds, for pairs of seeds.
    store.write(tmp_path / "fine-tuning/clean.h5", victims(np.full((1, 2), CLEAN_ERROR)), RECORD)
    return world


def text_of(world, *places):
    rows = [
        {"place": {"pipeline": pipeline, "stage": stage}, "result": world.results[result]}
        for pipeline, stage, result in places
    ]
    return json.dumps({"scenarios": world.scenarios, "rows": rows})


def test_a_row_is_compared_with_its_full_pipeline_image_by_image(world):
    cells = cells_of_rows(*read_rows(text_of(world, (1, "full", 0), (1, "target", 1))))
    assert [(cell.stage, cell.victim, cell.target) for cell in cells] == [
        (stage, victim, target)
        for stage, target in (("full", "reachable"), ("target", "permuted"))
        for victim in ("sgd100", "converged")
    ]
    assert cells[0].difference is cells[0].difference_low is cells[1].difference_high is None
    image, clean = uniform(), np.full((1, 2, 1), CLEAN_ERROR)
    full, other = (of_images(image > clean, image > errors[..., None], STREAM) for errors in (FULL, OTHER))
    expected, unpaired = contrast(other, full), contrast(other, full, paired=False)
    found = cells[2].difference, cells[2].difference_low, cells[2].difference_high
    assert found == pytest.approx((expected.mean, expected.low, expected.high))
    assert expected.mean == pytest.approx(100 * (OTHER - FULL).mean(), abs=0.1)
    assert found != pytest.approx((unpaired.mean, unpaired.low, unpaired.high))
    drops = [contrast(one) for one in (full, other)]
    assert [cells[0].drop, cells[2].drop] == pytest.approx([one.mean for one in drops])
    assert (cells[2].tau, cells[2].residual) == (0.01, 0.2)


def test_an_attack_does_not_differ_from_itself(world):
    cells = cells_of_rows(*read_rows(text_of(world, (1, "full", 0), (1, "target", 1), (2, "full", 1))))
    assert [cell.pipeline for cell in cells] == [1, 1, 1, 1, 2, 2]
    assert cells[4].difference is None
    assert (cells[4].drop, cells[4].drop_low) == (cells[2].drop, cells[2].drop_low)
    twice = cells_of_rows(*read_rows(text_of(world, (1, "full", 0), (1, "label", 0))))
    assert (twice[2].difference, twice[2].difference_low, twice[2].difference_high) == (0, 0, 0)


def test_cells_come_back_from_their_csv(world):
    cells = cells_of_rows(*read_rows(text_of(world, (1, "full", 0), (1, "target", 1))))
    text = to_csv(cells)
    assert text.splitlines()[0].endswith(",pipeline,stage,difference,difference_low,difference_high")
    again = from_csv(text)
    assert to_csv(again) == text
    assert [cell.stage for cell in again] == [cell.stage for cell in cells]


def test_a_pipeline_begins_with_itself(world):
    for places in (((1, "target", 1), (1, "full", 0)), ((1, "full", 0), (1, "full", 1))):
        with pytest.raises(SampleError, match=r"pipeline 1: .*expected first 'full' and then its stages"):
            cells_of_rows(*read_rows(text_of(world, *places)))


def test_other_numbers_of_seeds_are_an_error(world, tmp_path):
    store.write(tmp_path / "permuted.h5", victims(np.full((3, 2), 0.3)), RECORD)
    with pytest.raises(
        SampleError, match=r"permuted\.h5: other numbers of seeds .*reachable\.h5, expected the same"
    ):
        cells_of_rows(*read_rows(text_of(world, (1, "full", 0), (1, "target", 1))))


@pytest.mark.parametrize("rows", [[{"place": {"pipeline": 1}, "result": {}}], [{}], 3])
def test_rows_that_are_none_are_named(world, rows):
    with pytest.raises(SampleError, match=r"(?s)rows: .*expected places and results"):
        read_rows(json.dumps({"scenarios": world.scenarios, "rows": rows}))
