"""The search for reachable target heads against brute force, on a small problem in float64."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from featpoison import softmax
from featpoison.attacks import names, reachable, reachable_bounded
from featpoison.attacks.reachable_bounded import BoundedSearch
from featpoison.attacks.target_search import (
    Candidate,
    TargetSearch,
    head_of_candidate,
    limit_of,
    longest_reachable,
    measure_steps,
    reachable_heads,
)
from featpoison.downstream.task import Task
from featpoison.downstream.trajectory import Trajectory, train_heads
from featpoison.softmax import Head
from helpers import random_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import blobs
from test_runs import run_of

RESOLUTION = 2 * 2.0**-20
SEARCH = TargetSearch(smallest_step=0.125, largest_step=8.0, steps_per_octave=2)
searched = pytest.mark.parametrize("name", ["reachable", "reachable-bounded", "permuted"])


@pytest.fixture(scope="module")
def task() -> Task:
    X, labels = blobs(n=160, d=5, classes=4)
    X = X.float()
    return Task(X[:120], labels[:120], X[120:], labels[120:], 4)


@pytest.fixture(scope="module")
def heads(task):
    return train_heads(task, Trajectory(step_sizes=(0.001, 0.01), epochs=(10, 40), batch_size=16, draws=2))


def problem(seed, classes, scale):
    """Logits of random rows at a random head, their labels, the rows and the head."""
    X, labels, head = random_problem(30, 4, classes, seed=seed)
    head = Head(scale * head.weight, scale * head.bias)
    return softmax.logits(X, head), labels, X, head


problems = st.builds(
    problem, st.integers(0, 10**6), st.integers(2, 9), st.floats(0.05, 20.0, allow_nan=False)
)


@given(problems)
@settings(deadline=None)
def test_the_threshold_of_logits_is_that_of_the_head(given_problem):
    S, labels, X, head = given_problem
    exact = softmax.reachability_threshold(softmax.head_gradient(X, labels, head), head, len(X))
    assert softmax.threshold_of_logits(S, labels) == pytest.approx(exact, rel=1e-9, abs=1e-12)


@given(problems, st.floats(0.0, 2.0), st.floats(0.0, 0.9))
@settings(deadline=None, max_examples=200)
def test_the_longest_reachable_head_is_reachable_and_a_longer_one_is_not(given_problem, limit, least):
    S, labels, *_ = given_problem

    def tau(scale):
        return softmax.threshold_of_logits(scale * S, labels)

    found = longest_reachable(S, labels, limit, least)
    if found is None:
        assert tau(least) > limit
        return
    assert least <= found <= 1
    assert tau(found) <= limit
    assert found == 1 or tau(min(1.0, found + RESOLUTION)) > limit
    for scale in np.linspace(least, 1, 21):  # nor is any other one
        assert (tau(scale) <= limit) == (scale <= found) or abs(scale - found) < RESOLUTION


@given(problems, st.floats(0.01, 1.0))
@settings(deadline=None)
def test_predictions_do_not_depend_on_the_length_of_a_head(given_problem, scale):
    S, _, X, head = given_problem
    shorter = softmax.logits(X, Head.from_omega(scale * head.omega))
    assert torch.equal(shorter.argmax(1), S.argmax(1))


def test_steps_are_a_geometric_series_with_both_ends():
    found = TargetSearch(smallest_step=0.5, largest_step=4.0, steps_per_octave=2).steps
    assert found == pytest.approx([0.5, math.sqrt(0.5), 1, math.sqrt(2), 2, math.sqrt(8), 4])
    assert TargetSearch().steps[0] == 0.25
    assert TargetSearch().steps[-1] == pytest.approx(32)


def stepped(heads, stage, eps_w, scale=1.0):
    omega, gradient = heads.omega[stage].double(), heads.gradient[stage].double()
    return Head.from_omega(scale * (omega + eps_w * gradient / gradient.square().sum().sqrt()))


def tau_of(task, head):
    X = task.train.double()
    return softmax.reachability_threshold(softmax.head_gradient(X, task.train_labels, head), head, len(X))


def error_of(task, head):
    predicted = softmax.logits(task.train.double(), head).argmax(1)
    return (predicted != task.train_labels).double().mean().item()


def by_brute_force(task, heads, search, limit):
    """(stage, eps_w) -> training error of all that are reachable at the smallest scale."""
    return {
        (stage, eps_w): error_of(task, stepped(heads, stage, eps_w))
        for stage in range(len(heads.omega))
        for eps_w in search.steps
        if tau_of(task, stepped(heads, stage, eps_w, search.least_scale)) <= limit
    }


@pytest.mark.parametrize("budget", [0.02, 0.1, 1.0])
def test_every_candidate_is_reachable_and_none_is_left_out(task, heads, budget):
    limit = limit_of(SEARCH, budget)
    assert limit == pytest.approx(0.3 * budget)
    found = list(reachable_heads(task, heads, SEARCH, limit))
    oracle = by_brute_force(task, heads, SEARCH, limit)
    assert 0 < len(oracle) < len(heads.omega) * len(SEARCH.steps)  # some are out of reach
    assert {(one.stage, one.eps_w): one.training_error for one in found} == pytest.approx(oracle)
    for one in found:
        assert SEARCH.least_scale <= one.scale <= 1
        assert tau_of(task, stepped(heads, one.stage, one.eps_w, one.scale)) <= limit * (1 + 1e-6)
        if one.scale < 1:
            longer = stepped(heads, one.stage, one.eps_w, one.scale + 1e-4)
            assert tau_of(task, longer) > limit
    assert any(one.scale == 1 for one in found)
    assert any(one.scale < 1 for one in found)


@pytest.mark.parametrize("budget", [0.02, 0.1, 1.0])
def test_the_chosen_head_has_the_largest_training_error_of_all(task, heads, budget):
    found = reachable.choose(task, heads, SEARCH, budget)
    oracle = by_brute_force(task, heads, SEARCH, limit_of(SEARCH, budget))
    assert found.training_error == pytest.approx(max(oracle.values()))
    assert oracle[found.stage, found.eps_w] == pytest.approx(found.training_error)
    same = [
        one.scale
        for one in reachable_heads(task, heads, SEARCH, limit_of(SEARCH, budget))
        if one.training_error == found.training_error
    ]
    assert found.scale == max(same)


def test_of_equally_bad_heads_the_longest_is_chosen(task, heads, monkeypatch):
    errors_and_scales = [(0.5, 1.0), (0.7, 0.3), (0.7, 0.9), (0.7, 0.4)]
    found = [Candidate(0, 1.0, scale, error) for error, scale in errors_and_scales]
    monkeypatch.setattr(reachable, "reachable_heads", lambda *_: iter(found))
    assert reachable.choose(task, heads, SEARCH, 0.1) == found[2]


def test_a_larger_budget_allows_worse_heads(task, heads):
    errors = [
        reachable.choose(task, heads, SEARCH, budget).training_error for budget in (0.01, 0.05, 0.3, 1.0)
    ]
    assert errors == sorted(errors)
    assert errors[-1] > errors[0]


def test_the_head_of_a_candidate_is_that_of_the_formula(task, heads):
    found = head_of_candidate(heads, Candidate(2, 1.5, 0.5, 0.0))
    exact = stepped(heads, 2, 1.5, 0.5).omega
    torch.testing.assert_close(found.omega.double(), exact, rtol=1e-5, atol=1e-6)
    assert found.omega.dtype == torch.float32


@searched
@pytest.mark.parametrize("budget", [0.05, 0.1, 0.5])
def test_the_threshold_of_a_made_head_is_at_most_the_share_of_the_budget(name, budget, files):
    given_run = replace(run_of(name, None, files), budget=budget)
    made = names.load(name).run(given_run)
    assert made.facts["tau"] <= given_run.settings.share * budget * (1 + 1e-4)
    assert made.arrays["tau"].tolist() == [made.facts["tau"]]


def test_where_nothing_is_reachable_it_is_said(task, heads):
    far = TargetSearch(smallest_step=500.0, largest_step=500.0, least_scale=1.0)
    with pytest.raises(ValueError, match=r"no head .* reachable at eps_d = 0.01, expected at least one"):
        reachable.choose(task, heads, far, 0.01)
    bounded = BoundedSearch(smallest_step=500.0, largest_step=500.0)
    with pytest.raises(ValueError, match=r"no head .* reachable at full length, expected at least one"):
        reachable_bounded.candidates(task, heads, bounded, 0.01)


def test_steps_are_measured_as_their_heads_are(task, heads):
    """For a figure: along each gradient, full or of a mini-batch, at each stage."""
    steps = [0.5, 4.0]
    found = measure_steps(task, heads, steps)
    assert {name: array.shape for name, array in found.items()} == {
        "tau": (4, 3, 2),
        "training_error": (4, 3, 2),
        "accuracy": (4, 3, 2),
        "clean_accuracy": (4,),
        "eps_w": (2,),
    }
    for stage in range(4):
        for place in range(3):
            gradient = heads.gradient[stage] if place == 0 else heads.minibatch_gradients[stage, place - 1]
            for index, eps_w in enumerate(steps):
                head = stepped(replace(heads, gradient=gradient.expand_as(heads.gradient)), stage, eps_w)
                assert found["tau"][stage, place, index] == pytest.approx(
                    tau_of(task, head), rel=1e-5, abs=1e-6
                )
                assert found["training_error"][stage, place, index] == error_of(task, head)
                right = softmax.logits(task.test.double(), head).argmax(1) == task.test_labels
                assert found["accuracy"][stage, place, index] == right.double().mean().item()
    assert found["eps_w"].tolist() == steps
