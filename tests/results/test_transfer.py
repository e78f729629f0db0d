"""Cells of the transfer matrix: shares of the white-box drop, and what is compared with what."""

import json

import numpy as np
import pytest
from featpoison import store
from featpoison.results.samples import SampleError
from featpoison.results.transfer import cells_of_results, read_results
from featpoison.results.transfer_cells import from_csv, to_csv
from helpers import RECORD
from oracles.worlds import CLEAN_ERROR, GC, VICTIM_SEEDS, World, victims

ENCODERS = ("a", "b")


@pytest.fixture
def world(tmp_path):
    """Two encoders with a test set each, and the victims of images that were made against the first."""
    world = World(tmp_path)
    for encoder, error in zip(ENCODERS, (0.4, 0.2), strict=True):
        world.add(encoder, {})
        path = tmp_path / f"on-{encoder}.h5"
        arrays = victims(np.full((2, VICTIM_SEEDS), CLEAN_ERROR + error), "quantized_")
        ratio = {"feature_magnitude_ratio": np.array([1.0, 2.0])}
        store.write(path, arrays | ratio, RECORD, tau=0.5)
        world.name(encoder, GC, 0.03, path, "images")
    return world


def text_of(world, attacked=("a", "a"), results=None):
    results = world.results if results is None else results
    return json.dumps({"attacked": attacked, "scenarios": world.scenarios, "results": results})


def test_the_share_is_of_the_drop_on_the_attacked_encoder(world):
    cells = cells_of_results(*read_results(text_of(world)))
    assert [(cell.attacked, cell.encoder, cell.victim) for cell in cells] == [
        ("a", encoder, victim) for encoder in ENCODERS for victim in ("sgd100", "converged")
    ]
    assert [cell.drop for cell in cells] == pytest.approx([40, 40, 20, 20], abs=0.2)
    assert [cell.share for cell in cells] == pytest.approx([1, 1, 0.5, 0.5], abs=0.01)
    assert {cell.white_box_drop for cell in cells} == {cells[0].drop}
    assert cells[2].drop_low < 20 < cells[2].drop_high
    assert cells[2].white_box_drop_low == cells[0].drop_low
    assert {cell.magnitude_ratio for cell in cells} == {1.5}
    assert from_csv(to_csv(cells))[2].encoder == "b"
    assert to_csv(from_csv(to_csv(cells))) == to_csv(cells)


def test_without_a_white_box_drop_beyond_its_interval_there_is_no_share(world, tmp_path):
    nothing = victims(np.full((2, VICTIM_SEEDS), CLEAN_ERROR), "quantized_")
    ratio = {"feature_magnitude_ratio": np.ones(2)}
    store.write(tmp_path / "on-a.h5", nothing | ratio, RECORD)
    cells = cells_of_results(*read_results(text_of(world)))
    assert [cell.share for cell in cells] == [None] * 4
    assert cells[2].drop == pytest.approx(20, abs=0.2)


def test_an_attack_without_its_own_victims_is_an_error(world):
    with pytest.raises(SampleError, match=r"on-b\.h5: no result of this attack on a itself, expected one"):
        cells_of_results(*read_results(text_of(world, ["a"], world.results[1:])))


def test_every_result_has_an_attacked_encoder(world):
    with pytest.raises(SampleError, match="2 different ones, expected 1, one for each of 'attacked'"):
        read_results(text_of(world, ["a"]))
    with pytest.raises(SampleError, match="no 'attacked'; expected attacked, scenarios and results"):
        read_results(world.json)
