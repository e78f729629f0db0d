"""The test set enters no choice: with other test images, features and labels every attack makes the same."""

import numpy as np
import pytest
from featpoison import store
from featpoison.attacks import names
from featpoison.downstream.task import read_task
from featpoison.downstream.trajectory import read_trajectory, train_heads
from helpers import RECORD
from oracles.attack_files import STAGES
from test_runs import CASES, run_of

REPORTED = {"accuracy", "clean_accuracy"}
"""What a target head's file says of the test rows."""


@pytest.fixture(scope="module")
def others(files, tmp_path_factory):
    """The same files with other test sets: noise for images and features, in another number, and shuffled
    labels."""
    folder, generator = tmp_path_factory.mktemp("others"), np.random.default_rng(0)
    changed = dict(files)
    for need in ("images", "features"):
        arrays = store.read(files[need])
        name = "test_images" if need == "images" else "test"
        count, shape = 15, arrays[name].shape[1:]
        noise = (
            generator.integers(0, 256, (count, *shape))
            if need == "images"
            else generator.normal(size=(count, *shape))
        )
        arrays[name] = noise.astype(arrays[name].dtype)
        arrays["test_labels"] = generator.integers(0, 3, count)
        changed[need] = folder / f"{need}.h5"
        store.write(changed[need], arrays, RECORD, classes=["a", "b", "c"])
    return changed


def test_stages_of_training_are_the_same(files, others):
    again, kept = train_heads(read_task(others["features"]), STAGES), read_trajectory(files["trajectory"])
    for name, array in kept.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)


@pytest.mark.parametrize(("name", "kept_in"), CASES)
def test_every_attack_makes_the_same_bit_for_bit(name, kept_in, files, others):
    attack = names.load(name)
    made, other = (attack.run(run_of(name, kept_in, given)) for given in (files, others))
    assert made.arrays.keys() == other.arrays.keys()
    for key in made.arrays.keys() - REPORTED:
        np.testing.assert_array_equal(made.arrays[key], other.arrays[key], err_msg=key)
    for key in made.facts.keys() - REPORTED:
        assert made.facts[key] == other.facts[key], key
    if attack.makes == "target":  # the accuracy that is reported is that of the given test rows
        assert made.facts["accuracy"] != other.facts["accuracy"]
        assert made.facts["clean_accuracy"] != other.facts["clean_accuracy"]
