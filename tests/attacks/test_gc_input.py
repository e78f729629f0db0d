"""Gradient canceling in input space: its running residual, its gradient, its threshold."""

import copy
import math

import pytest
import torch
from featpoison import softmax
from featpoison.attacks.constraints import Box
from featpoison.attacks.gc_input import Canceling, GCInput
from featpoison.attacks.input_space import in_feature_space, optimise
from featpoison.common.pixels import to_pixels
from featpoison.encoders.features import pull_back
from helpers import Forgetful, random_problem
from oracles import slow

CPU64 = {"dtype": torch.float64}


@pytest.mark.parametrize("batch", [1, 3, 7, 20])
def test_running_residual_is_the_full_batch_gradient(batch):
    """After each pass, for the rows that the pass found; batches that do not divide n included."""
    X, labels, head = random_problem(7, 5, 4)
    G = torch.randn(4, 6, **CPU64)
    objective, rows = Canceling(X, labels, head, G, batch), X.clone()
    for _ in range(3):
        found, rows = rows, rows.clone()
        for start in range(0, 7, batch):
            block = slice(start, min(start + batch, 7))
            rows[block] -= 0.1 * objective.gradient(block, found[block])
        exact = G + slow.head_gradient(found, labels, head)
        torch.testing.assert_close(objective.residual, exact, rtol=1e-12, atol=1e-12)
        assert objective.value() == pytest.approx(0.5 * exact.square().sum().item())


def test_gc_input_gradient_is_the_double_backward_through_the_encoder(encoder, images):
    f = copy.deepcopy(encoder).double()
    pixels, labels = to_pixels(images[:5]).double(), torch.arange(5) % 3
    head = random_problem(1, f.dimension, 3)[2]
    G = torch.randn(3, f.dimension + 1, **CPU64)
    objective = Canceling(f(pixels), labels, head, G, 5)
    _, ours = pull_back(pixels, lambda z: objective.gradient(slice(0, 5), z), f, torch.float64)
    leaf = pixels.clone().requires_grad_(True)
    residual = G + slow.head_gradient(f(leaf), labels, head, create_graph=True)
    (oracle,) = torch.autograd.grad(0.5 * residual.square().sum(), leaf)
    torch.testing.assert_close(ours, oracle, rtol=1e-8, atol=1e-10)


def test_gc_input_stops_at_the_threshold():
    X, labels, head = random_problem(6, 5, 4)
    goal = -softmax.head_gradient(X + 0.1, labels, head)
    found = optimise(
        X,
        Canceling(X, labels, head, goal, 6),
        GCInput(epochs=3000, step_size=0.05, batch_size=6),
        pull_back=in_feature_space,
        within=Box(),
        threshold=1e-4,
        checkpoint=Forgetful(),
    )
    assert found.last_value < 1e-4
    assert found.epochs < 3000


def test_the_threshold_of_the_paper_is_the_default():
    assert GCInput().threshold == 1
    assert math.isclose(GCInput().penalty, 1)
