"""GradPC: the direction and the length of its step, from features and from images."""

import math

import pytest
import torch
from featpoison import softmax
from featpoison.attacks.gradpc import target_head
from featpoison.common.pixels import to_pixels
from featpoison.encoders.features import extract
from helpers import random_problem
from oracles import slow


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


def test_input_and_feature_space_gradients_agree(encoder, images):
    """The gradient through the encoder from images equals the one from the cache, to rounding."""
    labels = torch.arange(len(images)) % 3
    cache = extract(images, encoder)
    head = random_problem(1, encoder.dimension, 3, dtype=torch.float32)[2]
    omega = head.omega.requires_grad_(True)
    pixels = to_pixels(images)
    through = torch.autograd.grad(slow.summed_loss(encoder(pixels), labels, omega), omega)[0]
    torch.testing.assert_close(softmax.head_gradient(cache, labels, head), through, rtol=1e-4, atol=1e-4)
