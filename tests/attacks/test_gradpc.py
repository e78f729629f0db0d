"""GradPC: the direction and the length of its step, from features and from images."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from featpoison import softmax, store
from featpoison.attacks import names
from featpoison.attacks.gradpc import target_head
from featpoison.common.pixels import to_pixels
from featpoison.common.seeds import stream
from featpoison.downstream.stored_heads import read_clean_head
from featpoison.downstream.task import read_task
from featpoison.encoders.features import extract
from featpoison.softmax import Head
from helpers import RECORD, random_problem
from oracles import slow
from test_runs import run_of


def test_gradpc_moves_by_eps_w_along_the_gradient_and_raises_the_loss():
    X, labels, head = random_problem(60, 5, 4)
    gradient = softmax.head_gradient(X, labels, head)
    target = target_head(head, gradient, 0.5)
    step = target.omega - head.omega
    assert step.norm().item() == pytest.approx(0.5)
    assert torch.cosine_similarity(step.flatten(), gradient.flatten(), dim=0).item() == pytest.approx(1)
    assert softmax.loss(X, labels, target) > softmax.loss(X, labels, head)


@pytest.mark.parametrize("value", [0.0, math.nan])
def test_gradpc_without_a_direction_is_an_error(value):
    _, _, head = random_problem(6, 5, 4)
    with pytest.raises(ValueError, match="expected a positive finite number"):
        target_head(head, torch.full((4, 6), value), 1.0)


def minibatch(files, **changes):
    given = run_of("gradpc-minibatch", None, files)
    settings = given.settings.model_copy(update={"eps_w": 2.0, "minibatch": 8, "draws": 4} | changes)
    return names.load("gradpc-minibatch").run(replace(given, settings=settings))


def test_each_draw_is_a_step_along_the_gradient_of_its_mini_batch(files):
    """Of the rows that its generator draws, by autograd in float64."""
    task, clean = read_task(files["features"]), read_clean_head(files["clean"])
    made = minibatch(files)
    exact = clean.to(torch.float64)
    for draw, omega in enumerate(torch.from_numpy(made.arrays["omega"]).double()):
        rows = torch.randperm(40, generator=stream(draw, device=torch.device("cpu")))[:8]
        gradient = slow.head_gradient(task.train[rows].double(), task.train_labels[rows], exact)
        step = omega - exact.omega
        assert step.norm().item() == pytest.approx(2.0, rel=1e-5)
        torch.testing.assert_close(step, 2.0 * gradient / gradient.norm(), rtol=0, atol=1e-6)
        # What the file says of a head is said of all training rows.
        G = slow.head_gradient(task.train.double(), task.train_labels, Head.from_omega(omega))
        torch.testing.assert_close(
            torch.from_numpy(made.arrays["clean_gradient"][draw]).double(), G, rtol=1e-4, atol=1e-4
        )
        tau = softmax.reachability_threshold(G, Head.from_omega(omega), 40)
        assert made.arrays["tau"][draw] == pytest.approx(tau, rel=1e-4, abs=1e-6)


def test_draws_differ_and_do_not_depend_on_their_number(files):
    four, two = minibatch(files).arrays["omega"], minibatch(files, draws=2).arrays["omega"]
    np.testing.assert_array_equal(four[:2], two)
    for first in range(4):
        for second in range(first):
            assert np.abs(four[first] - four[second]).max() > 0.01


def test_a_mini_batch_of_all_rows_gives_the_head_of_the_full_gradient(files):
    full = names.load("gradpc-feature").run(run_of("gradpc-feature", None, files)).arrays["omega"]
    found = minibatch(files, minibatch=10_000).arrays["omega"]
    for omega in found:
        np.testing.assert_allclose(omega, full[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "kept_in"), [("gc-feature", "free"), ("gc-input", "valid")])
def test_a_poison_seed_aims_at_the_draw_of_its_number(name, kept_in, files, tmp_path):
    """Seed 3 of two draws at the second one."""
    generator = np.random.default_rng(0)
    omega, gradient = generator.normal(size=(2, 2, 3, 65)).astype(np.float32)
    made = {}
    for draws, rows in (("both", slice(None)), ("first", slice(1)), ("second", slice(1, 2))):
        path = tmp_path / f"{draws}.h5"
        store.write(path, {"omega": omega[rows], "clean_gradient": gradient[rows]}, RECORD, tau=1.0)
        made[draws] = names.load(name).run(run_of(name, kept_in, files | {"target": path})).arrays["features"]
    np.testing.assert_array_equal(made["both"], made["second"])
    assert not np.array_equal(made["both"], made["first"])


def test_input_and_feature_space_gradients_agree(encoder, images):
    """The gradient through the encoder from images equals the one from the cache, to rounding."""
    labels = torch.arange(len(images)) % 3
    cache = extract(images, encoder)
    head = random_problem(1, encoder.dimension, 3, dtype=torch.float32)[2]
    omega = head.omega.requires_grad_(True)
    pixels = to_pixels(images)
    through = torch.autograd.grad(slow.summed_loss(encoder(pixels), labels, omega), omega)[0]
    torch.testing.assert_close(softmax.head_gradient(cache, labels, head), through, rtol=1e-4, atol=1e-4)
