"""Which files numbers come from, and what does not fit together."""

import json
from pathlib import Path

import numpy as np
import pytest
from featpoison import store
from featpoison.results.claims import key_of
from featpoison.results.rows import Row
from featpoison.results.samples import SampleError, read_files
from helpers import RECORD
from oracles.worlds import (
    AS_CLAIMED,
    CLEAN_ERROR,
    GC,
    HEAD,
    IMAGES,
    MATCHING,
    SEEDS,
    TAU,
    TGDA,
    VICTIM_SEEDS,
    World,
    heads,
)

pytestmark = pytest.mark.usefixtures("fewer_draws")


def key(row, eps_d=0.03):
    return key_of(row.model_copy(update={"scenario": "fine-tuning"}), eps_d)


def test_heads_that_belong_to_another_test_set_are_refused(tmp_path):
    world = World(tmp_path).add("fine-tuning", AS_CLAIMED)
    path = Path(world.results[1]["source"])
    arrays = store.read(path)
    arrays["sgd100_accuracy"] -= 0.01
    store.write(path, arrays, RECORD)
    with pytest.raises(SampleError, match=r"tgda-input.*sgd100_accuracy is .* but its heads give"):
        world.verdicts()


def test_results_have_to_name_their_scenarios(tmp_path):
    world = World(tmp_path).add("fine-tuning", AS_CLAIMED)
    world.name("moon", GC, 0.03, tmp_path / "x.h5", "images")
    with pytest.raises(SampleError, match="'moon', expected one of"):
        read_files(world.json)
    with pytest.raises(SampleError, match="expected scenarios and results"):
        read_files("{}")


def test_a_row_that_says_something_unknown_is_refused(tmp_path):
    world = World(tmp_path).add("fine-tuning", {GC: 0.3})
    world.results[0]["row"]["colour"] = "red"
    with pytest.raises(SampleError, match="colour"):
        read_files(world.json)


def test_drops_of_heads_features_images_and_noise_are_those_of_the_files(tmp_path):
    """Each against the share by which the world's heads were made worse; test images lie 1/1500 apart."""
    world = World(tmp_path).add("fine-tuning", AS_CLAIMED, spread=0.0, converged=0.5)
    samples = world.add_noise("fine-tuning", 0.05, {"emn-original": 0.7}).samples
    for row, drop in AS_CLAIMED.items():
        for victim, share in (("sgd100", 1.0), ("converged", 1.0 if row == HEAD else 0.5)):
            found = samples.sample(key(row), victim, 0)
            assert found.estimate == pytest.approx(100 * share * drop, abs=100 / IMAGES), (row, victim)
            seeds = 1 if row == HEAD else SEEDS
            sizes = (seeds, VICTIM_SEEDS if victim == "sgd100" else 1, IMAGES)
            assert tuple(map(len, found.means)) == sizes, (row, victim)
    frozen = samples.sample(key(Row(method="emn-input"), np.inf), "converged", 0)
    assert frozen.estimate == pytest.approx(5, abs=100 / IMAGES)
    assert samples.sample(key(Row(method="emn-original"), np.inf), "sgd100", 0).estimate == pytest.approx(70)


def test_facts_come_from_the_files_of_their_row_and_scenario(tmp_path):
    world = World(tmp_path).add("fine-tuning", {GC: 0.3}, residual=0.25).add("transfer", {MATCHING: 0.3})
    samples = world.samples
    assert samples.residual(key(GC)) == pytest.approx(0.25)
    assert samples.tau(key(GC)) == TAU
    assert samples.title(key(GC)) == "the gc-input row"
    assert samples.title(key(MATCHING)) == "feature-matching"  # of a row that is only in print
    shared = {
        f"{scenario}/{name}.h5" for scenario in ("fine-tuning", "transfer") for name in ("features", "clean")
    }
    own = {str(Path(result["source"]).relative_to(tmp_path)) for result in world.results}
    assert {str(path.relative_to(tmp_path)) for path in samples.inputs} == shared | own
    assert samples.inputs == sorted(samples.inputs)


def test_an_attack_without_a_target_has_no_threshold(tmp_path):
    samples = World(tmp_path).add("fine-tuning", {GC: 0.3, TGDA: 0.2, HEAD: 0.4}).samples
    assert (samples.tau(key(GC)), samples.tau(key(HEAD)), samples.tau(key(TGDA))) == (TAU, TAU, None)


def test_draws_of_a_target_are_seeds_of_their_own(tmp_path):
    """Three heads that err on 0.2, 0.3 and 0.4 of the test set: a drop of 20 points on average."""
    world = World(tmp_path).add("fine-tuning", {HEAD: 0.4})
    path = Path(world.results[0]["source"])
    store.write(path, {"omega": heads(np.array([0.2, 0.3, 0.4]))}, RECORD, tau=TAU)
    found = world.samples.sample(key(HEAD), "sgd100", 0)
    assert found.estimate == pytest.approx(100 * (0.3 - CLEAN_ERROR), abs=100 / IMAGES)
    assert len(found.means[0]) == 3


def test_a_cell_of_two_tables_is_one_number(tmp_path):
    world = World(tmp_path).add("fine-tuning", {GC: 0.3})
    twice = json.loads(world.json)
    twice["results"] *= 2
    assert read_files(json.dumps(twice)).results == read_files(world.json).results


def test_the_clean_error_of_the_world_is_no_drop(tmp_path):
    samples = World(tmp_path).add("fine-tuning", {GC: 0.0}).samples
    assert CLEAN_ERROR > 0
    assert samples.sample(key(GC), "sgd100", 0).estimate == 0
