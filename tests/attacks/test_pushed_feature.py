"""Pushed features against plain searches along the line."""

import numpy as np
import pytest
import torch
from featpoison.attacks.constraints import NormBall
from featpoison.attacks.pushed_feature import direction, pushed
from helpers import random_problem
from hypothesis import given, settings
from hypothesis import strategies as st


def test_the_direction_leads_from_the_label_to_the_likeliest_other_class():
    X, labels, head = random_problem(30, 6, 4)
    found = direction(X, labels, head)
    W, b = head.weight.numpy(), head.bias.numpy()
    for x, y, along in zip(X.numpy(), labels.tolist(), found.numpy(), strict=True):
        scores = [W[c] @ x + b[c] if c != y else -np.inf for c in range(4)]
        wanted = W[int(np.argmax(scores))] - W[y]
        np.testing.assert_allclose(along, wanted / np.linalg.norm(wanted), rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(2, 9), st.floats(0.5, 6), st.booleans(), st.integers(0, 10**6))
def test_features_end_where_the_line_leaves_the_set(n, d, radius, nonnegative, seed):
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(n, d, generator=generator, dtype=torch.float64)
    along = torch.nn.functional.normalize(torch.randn(n, d, generator=generator, dtype=torch.float64), dim=1)
    within = NormBall(radius, nonnegative)
    start = within.project(start)
    found = pushed(start, along, within)
    ahead = along.clamp(min=0).norm(dim=1) > 0.05 if nonnegative else torch.ones(n, dtype=torch.bool)
    torch.testing.assert_close(found.norm(dim=1)[ahead], torch.full((int(ahead.sum()),), radius).double())
    if nonnegative:
        assert found.min() >= 0
    for row in range(n):  # the longest way of a fine grid that ends in the set
        most = 2 * radius / max(along[row].clamp(min=0).norm().item(), 0.05)
        ways = torch.linspace(0, most, 4001, dtype=torch.float64)
        line = start[row] + ways[:, None] * along[row]
        line = line.clamp(min=0) if nonnegative else line
        inside = (line.norm(dim=1) <= radius * (1 + 1e-12)).nonzero().max()
        if ahead[row]:
            assert (line[inside] - found[row]).norm() <= (ways[1] - ways[0]) * (1 + 1e-6)


def test_without_a_bound_on_signs_the_way_is_the_root_of_a_quadratic():
    X, _, head = random_problem(20, 5, 3)
    start, along = 0.1 * X, head.weight[torch.arange(20) % 3]
    along = along / along.norm(dim=1, keepdim=True)
    way = ((pushed(start, along, NormBall(3.0)) - start) * along).sum(1)
    b, c = (start * along).sum(1), start.square().sum(1) - 9
    torch.testing.assert_close(way, -b + (b.square() - c).sqrt())


def test_a_start_outside_begins_at_the_nearest_point_of_the_set():
    start, along = torch.tensor([[6.0, 8.0]]).double(), torch.tensor([[1.0, 0.0]]).double()
    found = pushed(start, along, NormBall(5.0))
    torch.testing.assert_close(found, torch.tensor([[3.0, 4.0]]).double())


def test_a_direction_without_a_way_ahead_stays_in_the_set():
    start, along = torch.tensor([[1.0, 2.0]]).double(), torch.tensor([[-0.6, -0.8]]).double()
    found = pushed(start, along, NormBall(4.0, nonnegative=True))
    torch.testing.assert_close(found, torch.zeros(1, 2).double())


@pytest.mark.parametrize("nonnegative", [False, True])
def test_the_loss_of_the_poison_rises_on_the_way(nonnegative):
    X, labels, head = random_problem(25, 8, 4)
    X = X.abs()
    within = NormBall(3 * X.norm(dim=1).max().item(), nonnegative)
    found = pushed(X, direction(X, labels, head), within)
    margin = [
        (features @ head.weight.T + head.bias).gather(1, labels[:, None]).sum() for features in (X, found)
    ]
    if not nonnegative:
        assert margin[1] < margin[0]
    losses = [
        torch.nn.functional.cross_entropy(one @ head.weight.T + head.bias, labels) for one in (X, found)
    ]
    assert losses[1] > losses[0]
