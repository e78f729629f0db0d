import numpy as np
from featpoison import store
from featpoison.downstream.poisons import read_poisons
from helpers import RECORD

GENERATOR = np.random.default_rng(0)
FEATURES = {"features": GENERATOR.normal(size=(4, 3)).astype(np.float32), "labels": np.arange(4) % 2}


def test_poisons_of_feature_space_have_no_images(tmp_path):
    store.write(tmp_path / "poisons.h5", FEATURES, RECORD)
    poisons = read_poisons(tmp_path / "poisons.h5")
    np.testing.assert_array_equal(poisons.features, FEATURES["features"])
    np.testing.assert_array_equal(poisons.labels, FEATURES["labels"])
    assert (poisons.images, poisons.base, poisons.distance) == (None, None, None)


def test_poisons_of_input_space_have_all_that_is_stored(tmp_path):
    images = {
        "images": GENERATOR.random((4, 3, 2, 2)).astype(np.float32),
        "base": np.array([7, 1, 1, 0]),
        "distance": GENERATOR.random(4),
    }
    store.write(tmp_path / "poisons.h5", FEATURES | images, RECORD)
    poisons = read_poisons(tmp_path / "poisons.h5")
    for name, array in (FEATURES | images).items():
        np.testing.assert_array_equal(getattr(poisons, name), array)
