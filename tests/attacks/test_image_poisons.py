"""What attacks that move images share: the way to the pixels and back, the start, the range that is
allowed."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from featpoison import store
from featpoison.attacks import names
from featpoison.attacks.attack import Run
from featpoison.attacks.choices import Choice
from featpoison.attacks.image_poisons import allowed, random_start, through
from featpoison.attacks.input_space import InputSpace
from featpoison.common.pixels import to_pixels
from featpoison.downstream.task import read_task
from featpoison.encoders.features import extract, pull_back
from helpers import Forgetful

CPU = torch.device("cpu")
LOW, HIGH = 20 / 255, 200 / 255  # of the clean images


@pytest.fixture
def given(files):
    """A run of gradient canceling whose steps are long enough to leave the range of pixels."""
    attack = names.load("gc-input")
    settings = attack.settings(
        epochs=4, step_size=0.5, batch_size=3, penalty=0.0, threshold=0.0, precision="float32"
    )
    choice = Choice(method="gc-input", set="free", target="gradpc-feature")
    return Run(settings, choice, files, CPU, Forgetful(), budget=0.1)


def test_pull_back_is_the_jacobians_transpose(encoder, images):
    f = copy.deepcopy(encoder).double()
    pixels, v = to_pixels(images[:3]).double(), torch.randn(3, f.dimension, dtype=torch.float64)
    features, gradient = pull_back(pixels, lambda z: v * z, f, torch.float64)
    leaf = pixels.clone().requires_grad_(True)
    torch.testing.assert_close(features, f(pixels))
    (oracle,) = torch.autograd.grad((f(leaf) * (v * features)).sum(), leaf)
    torch.testing.assert_close(gradient, oracle)


def test_the_way_back_goes_through_the_folded_encoder(files, encoder, images):
    """Folding changes rounding only, so features and gradients are those of the encoder itself."""
    back = through(files["encoder"], InputSpace(precision="float32"), CPU)
    pixels = to_pixels(images[:3])
    features, gradient = back(pixels, lambda z: z)
    plain, oracle = pull_back(pixels, lambda z: z, encoder, torch.float32)
    torch.testing.assert_close(features, plain, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(gradient, oracle, rtol=1e-2, atol=1e-3 * oracle.abs().max().item())


def test_poisons_start_from_rows_of_the_training_set(given, files):
    task = read_task(files["features"])
    start = random_start(task, given)
    clean = store.read(files["images"], "train_images", "train_labels")
    assert len(start.rows) == 4  # round(0.1 * 40)
    np.testing.assert_array_equal(start.images, clean["train_images"][start.rows])
    np.testing.assert_array_equal(start.labels, clean["train_labels"][start.rows])
    assert torch.equal(start.features, task.train[start.rows])
    assert not torch.equal(random_start(task, replace(given, seed=1)).rows, start.rows)
    with pytest.raises(ValueError, match=r"eps_d = 0.01 of 40 training rows is less than one poison"):
        random_start(task, replace(given, budget=0.01))


def test_constrained_images_stay_in_the_clean_range_and_valid_ones_in_that_of_pixels(files):
    """Clean pixels go from 20 to 200 of 255, not from 0 to 1."""
    images = torch.tensor([-10.0, 0.0, LOW, 0.5, HIGH, 1.0, 10.0], dtype=torch.float64)
    inside = allowed("constrained", files["images"]).project(images)
    assert inside.tolist() == pytest.approx([LOW, LOW, LOW, 0.5, HIGH, HIGH, HIGH])
    valid = allowed("valid", files["images"]).project(images)
    assert valid.tolist() == pytest.approx([0, 0, LOW, 0.5, HIGH, 1, 1])
    assert torch.equal(allowed("free", files["images"]).project(images), images)


@pytest.mark.parametrize("name", ["gc-input", "tgda-input", "exact-input"])
def test_constrained_poisons_reach_both_ends_of_the_clean_range_and_go_no_further(name, given, files):
    attack = names.load(name)
    settings = attack.settings(epochs=3, step_size=0.5, batch_size=3, penalty=0.0, precision="float32")
    found = {}
    for kept_in in attack.sets:
        choice = Choice(method=name, set=kept_in, target=given.choice.target if name == "gc-input" else None)
        victim = attack.victim(ridge=1e-2) if attack.victim else None
        made = attack.run(replace(given, settings=settings, choice=choice, victim=victim))
        found[kept_in] = made.arrays["images"]
    assert found["free"].min() < 0
    assert found["free"].max() > 1
    bound = found["constrained"]
    assert bound.min() == pytest.approx(LOW, abs=1e-6)
    assert bound.max() == pytest.approx(HIGH, abs=1e-6)


@pytest.mark.parametrize("name", ["gc-input", "exact-input"])
def test_valid_poisons_are_images_of_8_bits_whose_features_are_in_the_file(name, given, files, encoder):
    """They go beyond the range of the clean images, and before rounding the objective did not rise."""
    attack = names.load(name)
    settings = attack.settings(
        epochs=6, step_size=9.0, valid_step_size=0.3, batch_size=4, precision="float32"
    )
    choice = Choice(method=name, set="valid", target=given.choice.target if name == "gc-input" else None)
    victim = attack.victim(ridge=1e-2) if attack.victim else None
    made = attack.run(replace(given, settings=settings, choice=choice, victim=victim))
    images = torch.from_numpy(made.arrays["images"])
    levels = (255 * images.double()).round()
    assert torch.equal(images, levels.float() / 255)  # as a reader of the file divides them
    assert (levels.min(), levels.max()) == (0, 255)  # clean images begin at 20
    assert len(levels.unique()) > 100
    features = extract(images, encoder, batch_size=4)
    np.testing.assert_array_equal(made.arrays["features"], features)
    assert made.facts["last_value"] <= made.facts["first_value"]
    start = to_pixels(random_start(read_task(files["features"]), given).images)
    assert (images - start).abs().max() <= 6 * 0.3 + 1 / 255  # by the step size of its own


def test_features_of_the_file_are_those_of_the_images_in_it(given, files, encoder):
    made = names.load("gc-input").run(given)
    assert {key: value.dtype for key, value in made.arrays.items()} == {
        "images": np.float32,
        "features": np.float32,
        "labels": np.int64,
        "base": np.int64,
    }
    features = extract(torch.from_numpy(made.arrays["images"]), encoder, batch_size=3)
    np.testing.assert_allclose(made.arrays["features"], features, rtol=1e-5, atol=1e-6)
    assert made.facts["last_value"] < made.facts["first_value"]
