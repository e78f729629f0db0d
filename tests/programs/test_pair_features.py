"""Pairs of poisoned features and base images, from the command line."""

import numpy as np
import pytest
from featpoison import store
from helpers import RECORD


@pytest.fixture
def paired(files, execute, tmp_path):
    """Pairs of features that lie beside clean rows of other labels than their own; those labels and rows."""
    clean = store.read(files["features"], "train", "train_labels")
    rows = np.array([3, 0, 39, 17, 8])
    labels = (clean["train_labels"][rows] + np.array([1, 2, 0, 1, 0])) % 3
    zeta = clean["train"][rows] + np.float32(1e-4)
    store.write(
        tmp_path / "zeta.h5",
        {"features": zeta, "labels": labels, "base": rows[::-1].copy()},
        RECORD,
        eps_d=0.125,
    )

    def pair(*options):
        arguments = ["--features", files["features"], "--poisoned", tmp_path / "zeta.h5", *options]
        execute("pair_features", *arguments, tmp_path / "pairs.h5")
        assert store.read_attributes(tmp_path / "pairs.h5")["eps_d"] == 0.125
        return store.read(tmp_path / "pairs.h5")

    return pair, clean, zeta, labels, rows


def test_a_poison_keeps_the_label_that_its_feature_was_made_for(paired):
    pair, clean, zeta, labels, rows = paired
    found = pair()
    np.testing.assert_array_equal(found["base"], rows)  # the nearest clean rows
    np.testing.assert_array_equal(found["labels"], labels)
    np.testing.assert_array_equal(found["features"], zeta)
    assert (clean["train_labels"][found["base"]] != labels).sum() == 3
    np.testing.assert_allclose(found["distance"], 64 * 1e-8, rtol=0.1)


def test_within_its_class_every_base_image_shows_what_the_label_says(paired):
    pair, clean, zeta, labels, _ = paired
    found = pair("--pairing", "within-class")
    np.testing.assert_array_equal(clean["train_labels"][found["base"]], labels)
    np.testing.assert_array_equal(found["labels"], labels)
    distance = ((zeta[:, None].astype(np.float64) - clean["train"]) ** 2).sum(2)
    distance[labels[:, None] != clean["train_labels"]] = np.inf
    np.testing.assert_array_equal(found["base"], distance.argmin(1))


def test_base_images_by_chance_follow_the_poison_seed(paired):
    pair, clean, zeta, labels, _ = paired
    found, again, other = (pair("--pairing", "random", "--seed", seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(found["base"], again["base"])
    assert not np.array_equal(found["base"], other["base"])
    np.testing.assert_array_equal(found["labels"], labels)
    distance = ((zeta.astype(np.float64) - clean["train"][found["base"]]) ** 2).sum(1)
    np.testing.assert_allclose(found["distance"], distance)


@pytest.mark.parametrize("options", [("--pairing", "random"), ("--seed", 4)])
def test_a_seed_belongs_to_chance(paired, options, capsys):
    with pytest.raises(SystemExit):
        paired[0](*options)
    assert "--seed: " in capsys.readouterr().err
