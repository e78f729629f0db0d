"""Gradient canceling in feature space against its oracle."""

import math

import pytest
import torch
from featpoison import softmax
from featpoison.attacks import gc_feature, quasi_newton
from featpoison.attacks.base_rows import choose_initial
from featpoison.attacks.constraints import NormBall
from featpoison.attacks.gc_feature import CancelingLoss, GCFeature, cancel
from helpers import random_problem
from oracles import slow

FREE = NormBall(math.inf)


def canceled(initial, labels, head, G, settings, *, within=FREE):
    return cancel(initial, CancelingLoss(labels, head, G), settings, within=within)


def canceling_problem(n=12, N=200, d=6, classes=4):
    X, labels, head = random_problem(N, d, classes, dtype=torch.float32)
    G = softmax.head_gradient(X, labels, head)
    base = choose_initial(labels, n, seed=0)
    return X, labels, head, G, base


def run_canceling(n=12, cap=math.inf, **changes):
    X, labels, head, G, base = canceling_problem(n)
    settings = GCFeature(**{"iterations": 200, "threshold": 0.0} | changes)
    within = NormBall(cap * X.norm(dim=1).mean().item())
    return X, labels[base], head, G, canceled(X[base], labels[base], head, G, settings, within=within)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adam"},
        {"optimizer": "l-bfgs"},
        {"optimizer": "gradient-descent", "step_size": 1e-4},
        {"cap": 1.0},
    ],
)
def test_canceling_lowers_its_objective(changes):
    _, labels, head, G, found = run_canceling(**changes)
    loss, _ = softmax.canceling_step(found.features, labels, head, G)
    assert loss.item() == pytest.approx(found.last_loss, rel=1e-4)
    assert found.last_loss < 0.9 * found.first_loss


@pytest.mark.parametrize("optimizer", ["adam", "l-bfgs", "best"])
def test_canceling_reaches_a_reachable_target_and_stops_at_the_threshold(optimizer):
    X, labels, head, _, base = canceling_problem()
    goal = -softmax.head_gradient(2 * X[base], labels[base], head)  # canceled exactly by twice the base rows
    settings = GCFeature(iterations=5000, threshold=1e-3, step_size=0.05, optimizer=optimizer)
    found = canceled(X[base], labels[base], head, goal, settings)
    assert found.last_loss < 1e-3
    assert found.iterations < 5000


def test_many_poisons_have_shorter_vectors_and_then_fewer_of_them():
    settings = GCFeature(history=10)
    for n, precision, pairs in (
        (1500, torch.float64, 10),
        (19_000, torch.float64, 10),
        (20_000, torch.float32, 10),
        (50_000, torch.float32, 6),
        (1e6, torch.float32, 2),
    ):
        assert (settings.vectors(n, 512), settings.pairs(n, 512)) == (precision, pairs)


@pytest.mark.parametrize(("cap", "nonnegative"), [(math.inf, False), (4.0, False), (4.0, True)])
def test_vectors_in_float32_end_as_low(monkeypatch, cap, nonnegative):
    """Of as many pairs: a limit between what float32 and float64 take of all of them."""
    X, labels, head, G, base = canceling_problem(n=60, N=2000)
    settings = GCFeature(iterations=200, threshold=0.0, optimizer="l-bfgs")
    objective, within, ended = CancelingLoss(labels[base], head, G), NormBall(cap, nonnegative), []
    vectors = 2 * settings.history + quasi_newton.VECTORS
    for largest in (3e9, 6 * vectors * X[base].numel()):
        monkeypatch.setattr(gc_feature, "LARGEST_WORKSPACE", largest)
        ended.append(cancel(X[base], objective, settings, within=within))
        assert settings.pairs(*X[base].shape) == settings.history
    double, single = ended
    assert single.last_loss == pytest.approx(double.last_loss, rel=0.02)
    assert not torch.equal(double.features, single.features)


@pytest.mark.parametrize("largest", [3e9, 0.0])
def test_the_objective_is_in_float64_whatever_the_vectors_are(monkeypatch, largest):
    X, labels, head, G, base = canceling_problem()
    monkeypatch.setattr(gc_feature, "LARGEST_WORKSPACE", largest)
    minimise, seen = quasi_newton.minimise, []

    def watched(objective, *arguments, **options):
        def told(zeta):
            loss, gradient = objective(zeta)
            seen.append((zeta.dtype, loss.dtype, gradient.dtype))
            return loss, gradient

        return minimise(told, *arguments, **options)

    monkeypatch.setattr(quasi_newton, "minimise", watched)
    found = canceled(X[base], labels[base], head, G, GCFeature(iterations=5, optimizer="l-bfgs"))
    vectors = torch.float64 if largest else torch.float32
    assert set(seen) == {(vectors, torch.float64, vectors)}
    assert found.features.dtype == torch.float32


def test_norm_cap_holds():
    X, *_, found = run_canceling(cap=0.7)
    assert found.features.norm(dim=1).max() <= 0.7 * X.norm(dim=1).mean() * (1 + 1e-6)


def test_gradient_descent_step_is_the_papers():
    X, labels, head, G, base = canceling_problem()
    settings = GCFeature(iterations=1, threshold=0.0, optimizer="gradient-descent", step_size=1e-5)
    found = canceled(X[base], labels[base], head, G, settings)
    _, gradient = slow.canceling_step(X[base], labels[base], head, G)
    torch.testing.assert_close(found.features, X[base] - 1e-5 * gradient)


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [("adam", "L is nan at step 0"), ("l-bfgs", "the objective is nan"), ("best", "is nan")],
)
def test_not_a_number_stops_with_the_step(optimizer, message):
    X, labels, head, G, base = canceling_problem()
    settings = GCFeature(optimizer=optimizer)
    with pytest.raises(FloatingPointError, match=message):
        canceled(X[base] * math.nan, labels[base], head, G, settings)
