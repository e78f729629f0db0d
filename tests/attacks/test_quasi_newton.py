"""L-BFGS over features in a set: minima in closed form, its change of variables, where it ends; and what it
does for gradient canceling."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from featpoison import softmax
from featpoison.attacks import quasi_newton
from featpoison.attacks.constraints import NormBall
from featpoison.attacks.gc_feature import CancelingLoss, GCFeature, cancel
from featpoison.attacks.quasi_newton import Minimum, minimise
from helpers import random_problem
from hypothesis import given, settings
from hypothesis import strategies as st

FREE = NormBall(math.inf)
USUAL = {"iterations": 200, "history": 10, "threshold": -math.inf}
seeds = st.integers(0, 2**31)


def drawn(seed, n, d, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n, d, generator=generator, dtype=torch.float64)


def towards(centre):
    """Half the squared distance to `centre`; its minimum over a convex set is the projection of `centre`."""
    return lambda Z: (0.5 * (Z - centre).square().sum(), Z - centre)


def quadratic(seed, n, d):
    """1/2 <Z - A, (Z - A) Q> with a positive definite Q, and A."""
    A, root = drawn(seed, n, d), drawn(seed + 1, d, d)
    Q = root @ root.T + 0.1 * torch.eye(d, dtype=torch.float64)
    return lambda Z: (0.5 * ((Z - A) @ Q * (Z - A)).sum(), (Z - A) @ Q), A


def test_a_quadratic_ends_at_its_minimum():
    objective, A = quadratic(0, 7, 5)
    found = minimise(objective, torch.zeros(7, 5), within=FREE, **USUAL)
    torch.testing.assert_close(found.features, A, rtol=1e-6, atol=1e-6)
    assert found.value == pytest.approx(0, abs=1e-10)
    assert found.features.dtype == torch.float64  # whatever the start's type


@given(seeds, st.floats(0.2, 3.0), st.booleans())
@settings(deadline=None, max_examples=40)
def test_the_nearest_point_of_a_set_is_found_from_outside_of_it_too(seed, radius, nonnegative):
    within, centre = NormBall(radius, nonnegative), drawn(seed, 4, 3, 2.0)
    start = drawn(seed + 1, 4, 3, 2.0).abs() + 0.1
    found = minimise(towards(centre), start, within=within, **USUAL)
    nearest = within.project(centre)
    torch.testing.assert_close(found.features, nearest, rtol=0, atol=1e-4)
    assert found.features.norm(dim=1).max() <= radius * (1 + 1e-9)
    assert not nonnegative or found.features.min() >= 0
    assert found.value == pytest.approx(towards(centre)(found.features)[0].item(), rel=1e-9)


@given(seeds, st.floats(0.2, 3.0), st.booleans())
@settings(deadline=None, max_examples=40)
def test_no_result_leaves_its_set(seed, radius, nonnegative):
    """Not after any number of steps either."""
    objective, _ = quadratic(seed, 5, 4)
    within = NormBall(radius, nonnegative)
    for iterations in (1, 3, 50):
        found = minimise(
            objective, drawn(seed + 2, 5, 4), within=within, **USUAL | {"iterations": iterations}
        ).features
        assert found.norm(dim=1).max() <= radius * (1 + 1e-9)
        assert not nonnegative or found.min() >= 0


@pytest.mark.parametrize("nonnegative", [False, True])
def test_the_gradient_under_the_change_of_variables_is_that_of_autograd_and_of_differences(nonnegative):
    """For rows inside of the ball, outside of it, and the row of zeros."""
    X, labels, head = random_problem(6, 4, 3)
    G = softmax.head_gradient(*random_problem(40, 4, 3, seed=1)[:2], head)
    canceling, within = CancelingLoss(labels, head, G), NormBall(1.5, nonnegative)
    u = X * (torch.tensor([0.3, 0.9, 1.1, 4.0, 50.0, 1.0]) * 1.5 / X.norm(dim=1)).unsqueeze(1)
    if not nonnegative:
        u[5] = 0  # an edge of the orthant, on which the gradient is one-sided
    ours = quasi_newton.pulled_back(u, canceling(within.project(u))[1], within)
    leaf = u.clone().requires_grad_(True)
    v = leaf.clamp(min=0) if nonnegative else leaf
    norms = v.square().sum(1, keepdim=True).add(1e-300).sqrt()
    loss = 0.5 * (G + softmax.head_gradient(v * (1.5 / norms).clamp(max=1), labels, head)).square().sum()
    (oracle,) = torch.autograd.grad(loss, leaf)
    torch.testing.assert_close(ours, oracle, rtol=1e-9, atol=1e-9)
    for place in np.ndindex(6, 4):
        step = torch.zeros(6, 4, dtype=torch.float64)
        step[place] = 1e-5
        above, below = (canceling(within.project(u + sign * step))[0].item() for sign in (1, -1))
        assert ours[place].item() == pytest.approx((above - below) / 2e-5, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("precision", [torch.float64, torch.float32])
@pytest.mark.parametrize("sign", [1, -1])
def test_on_an_edge_the_gradient_is_that_of_the_side_to_which_the_objective_falls(sign, precision):
    gradient = sign * torch.ones(1, 4, dtype=precision)
    on_the_sphere = torch.full((1, 4), 0.75, dtype=precision)
    for nonnegative in (False, True):
        pulled = quasi_newton.pulled_back(on_the_sphere, gradient, NormBall(1.5, nonnegative))
        torch.testing.assert_close(pulled, gradient.clamp(min=0))
    zeros = torch.zeros(1, 4, dtype=precision)
    pulled = quasi_newton.pulled_back(zeros, gradient, NormBall(1.5, nonnegative=True))
    torch.testing.assert_close(pulled, gradient.clamp(max=0))


@pytest.mark.parametrize("precision", [torch.float64, torch.float32])
def test_a_projected_row_is_on_the_sphere_whatever_rounding_made_of_it(precision):
    rows = drawn(0, 400, 512).to(precision)
    within = NormBall(1.7)
    projected = within.project(rows)
    assert not torch.equal(projected.norm(dim=1), torch.full((400,), 1.7, dtype=precision))
    inwards = quasi_newton.pulled_back(projected, projected, within)  # the objective falls inwards
    torch.testing.assert_close(inwards, projected, rtol=1e-5, atol=1e-7)


def test_it_ends_at_the_first_value_below_the_threshold():
    objective, _ = quadratic(0, 7, 5)
    seen = []

    def watched(Z):
        loss, gradient = objective(Z)
        seen.append(loss.item())
        return loss, gradient

    found = minimise(watched, torch.zeros(7, 5), within=FREE, **USUAL | {"threshold": 1e-3})
    assert found.value == seen[-1] < 1e-3 <= min(seen[:-1])
    assert found.value == objective(found.features)[0].item()
    whole = minimise(objective, torch.zeros(7, 5), within=FREE, **USUAL)
    assert 0 < found.iterations < whole.iterations


def test_rounds_are_reported():
    objective, _ = quadratic(0, 7, 5)
    seen = []
    minimise(
        objective,
        torch.zeros(7, 5),
        within=FREE,
        **USUAL | {"iterations": 45},
        report=lambda taken, value: seen.append((taken, value)),
    )
    assert [taken for taken, _ in seen] == [25, 45]
    assert seen[0][1] > seen[1][1]


def test_it_takes_no_more_steps_than_allowed():
    objective, _ = quadratic(0, 7, 5)
    found = [
        minimise(objective, torch.zeros(7, 5), within=FREE, **USUAL | {"iterations": most})
        for most in (1, 4, 9)
    ]
    assert [one.iterations for one in found] == [1, 4, 9]
    assert found[0].value > found[1].value > found[2].value


def test_an_objective_that_is_not_finite_is_an_error():
    with pytest.raises(FloatingPointError, match="the objective is nan"):
        minimise(lambda Z: (Z.sum() * math.nan, Z), torch.ones(2, 2), within=FREE, **USUAL)


# Gradient canceling


def canceling_problem(seed, n=12, N=200, d=6, classes=4):
    X, labels, head = random_problem(N, d, classes, seed=seed, dtype=torch.float32)
    return X[:n], CancelingLoss(labels[:n], head, softmax.head_gradient(X, labels, head))


def by(optimizer, initial, objective, within=FREE, **changes):
    wanted = GCFeature(**{"iterations": 200, "threshold": 0.0, "optimizer": optimizer} | changes)
    return cancel(initial, objective, wanted, within=within)


@given(st.integers(0, 10**6), st.sampled_from([math.inf, 3.0, 0.5]), st.booleans())
@settings(deadline=None, max_examples=15)
def test_canceling_never_ends_above_its_start_and_best_is_the_better_of_two(seed, radius, nonnegative):
    initial, objective = canceling_problem(seed)
    within = NormBall(radius, nonnegative)
    found = {name: by(name, initial, objective, within, iterations=30) for name in ("l-bfgs", "adam", "best")}
    start = objective(within.project(initial))[0].item()
    for one in found.values():
        assert one.first_loss == pytest.approx(start, rel=1e-6)
        assert one.last_loss <= one.first_loss
        assert objective(one.features)[0].item() == pytest.approx(one.last_loss, rel=1e-5, abs=1e-6)
        assert one.features.dtype == torch.float32
        assert one.features.norm(dim=1).max() <= radius * (1 + 1e-6)
        assert not nonnegative or one.features.min() >= 0
    best = min(found["l-bfgs"], found["adam"], key=lambda one: one.last_loss)
    assert torch.equal(found["best"].features, best.features)
    assert found["best"].optimizer == best.optimizer


def test_a_result_that_rounding_makes_worse_than_the_start_is_the_start(monkeypatch):
    initial, objective = canceling_problem(0)
    worse = Minimum(initial.double() + 5, 0.0, 3)
    monkeypatch.setattr(quasi_newton, "minimise", lambda *_, **__: worse)
    found = by("l-bfgs", initial, objective)
    assert torch.equal(found.features, initial)
    assert found.last_loss == found.first_loss == objective(initial)[0].item()


def test_l_bfgs_ends_lower_than_two_hundred_steps_of_adam():
    """Where features that are twice as long cancel everything."""
    for seed in range(3):
        initial, objective = canceling_problem(seed)
        goal = -softmax.head_gradient(2 * initial, objective.labels, objective.target)
        reachable = replace(objective, clean_gradient=goal)
        lower, usual = (by(name, initial, reachable).last_loss for name in ("l-bfgs", "adam"))
        assert lower < 0.1 * usual
