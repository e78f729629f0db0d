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


@pytest.fixture
def spied(monkeypatch):
    """What is handed to scipy: the objective in its own variables."""
    handed = {}

    def keep(objective, start, **options):
        handed.update(options, objective=objective)
        return quasi_newton.optimize.OptimizeResult(x=start, fun=objective(start)[0])

    monkeypatch.setattr(quasi_newton.optimize, "minimize", keep)
    return handed


@pytest.mark.parametrize("nonnegative", [False, True])
def test_the_gradient_under_the_change_of_variables_is_that_of_autograd_and_of_differences(
    spied, nonnegative
):
    """For rows inside of the ball, outside of it, and the row of zeros."""
    X, labels, head = random_problem(6, 4, 3)
    G = softmax.head_gradient(*random_problem(40, 4, 3, seed=1)[:2], head)
    canceling, radius = CancelingLoss(labels, head, G), 1.5
    minimise(canceling, X, within=NormBall(radius, nonnegative), **USUAL)
    u = X.abs() if nonnegative else X.clone()
    u *= (torch.tensor([0.3, 0.9, 1.1, 4.0, 50.0, 0.0]) * radius / u.norm(dim=1)).unsqueeze(1)
    on_the_sphere = {"within": NormBall(radius, nonnegative), **USUAL}
    value, gradient = spied["objective"](u.flatten().numpy())
    leaf = u[:5].clone().requires_grad_(True)
    zeta = leaf * (radius / leaf.norm(dim=1, keepdim=True)).clamp(max=1)
    whole = torch.cat([zeta, torch.zeros(1, 4, dtype=torch.float64)])
    loss = 0.5 * (G + softmax.head_gradient(whole, labels, head)).square().sum()
    (oracle,) = torch.autograd.grad(loss, leaf)
    assert value == pytest.approx(loss.item(), rel=1e-12)
    torch.testing.assert_close(torch.from_numpy(gradient).view(6, 4)[:5], oracle, rtol=1e-9, atol=1e-9)
    for place in range(24):
        step = np.zeros(24)
        step[place] = 1e-5
        above, below = (spied["objective"](u.flatten().numpy() + sign * step)[0] for sign in (1, -1))
        assert gradient[place] == pytest.approx((above - below) / 2e-5, rel=1e-4, abs=1e-4)
    # On the sphere: inwards where the objective falls inwards, along the sphere where it falls outwards.
    place = torch.full((1, 4), 0.5, dtype=torch.float64) * radius
    for sign in (1, -1):
        minimise(lambda Z, sign=sign: (sign * Z.sum(), sign * torch.ones_like(Z)), place, **on_the_sphere)
        _, gradient = spied["objective"](place.flatten().numpy())
        np.testing.assert_allclose(gradient, max(sign, 0), atol=1e-12)
    if nonnegative:
        assert (spied["bounds"].lb, spied["bounds"].ub) == (0, math.inf)
    else:
        assert spied["bounds"] is None


def test_it_ends_at_the_first_value_below_the_threshold():
    objective, _ = quadratic(0, 7, 5)
    seen, threshold = [], 1e-3
    found = minimise(
        objective,
        torch.zeros(7, 5),
        within=FREE,
        **USUAL | {"threshold": threshold},
        report=lambda step, value: seen.append((step, value)),
    )
    values = [value for _, value in seen]
    assert [step for step, _ in seen] == list(range(1, found.iterations + 1))
    assert values[-1] < threshold <= min(values[:-1])
    assert found.value == values[-1]
    whole = minimise(objective, torch.zeros(7, 5), within=FREE, **USUAL)
    assert found.iterations < whole.iterations


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
