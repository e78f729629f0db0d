"""The target for bounded poisons: its choice by outcome, against one victim at a time on training rows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from featpoison import softmax
from featpoison.attacks import names, reachable_bounded
from featpoison.attacks.base_rows import choose_initial
from featpoison.attacks.reachable_bounded import BoundedSearch, canceled, candidates, choose
from featpoison.attacks.target_search import head_of_candidate, limit_of, reachable_heads
from featpoison.downstream.task import Task, read_task
from featpoison.downstream.trajectory import Trajectory, read_trajectory, train_heads
from featpoison.heads import SGD100, train
from featpoison.softmax import Head
from problems import blobs
from test_runs import run_of

SEARCH = BoundedSearch(steps_per_octave=1, iterations=20, share=1.0, feature_cap=2.0, smallest_step=0.03)
VICTIM = SGD100(epochs=15, batch_size=8)
BUDGET = 0.25


@pytest.fixture(scope="module")
def problem():
    """Overlapping classes with features that are never negative, and heads at four stages of training."""
    X, labels = blobs(n=160, d=5, classes=4)
    X = (X - X.min(0).values).float()
    task = Task(X[:120], labels[:120], X[120:], labels[120:], 4)
    return task, train_heads(
        task, Trajectory(step_sizes=(0.003, 0.01), epochs=(10, 40), batch_size=16, draws=1)
    )


def error_of(task, head):
    wrong = softmax.logits(task.train, head).argmax(1) != task.train_labels
    return wrong.double().mean().item()


def test_candidates_are_the_worst_reachable_step_of_each_stage_and_half_of_it(problem):
    task, heads = problem
    found = candidates(task, heads, SEARCH, BUDGET)
    every = list(reachable_heads(task, heads, SEARCH, limit_of(SEARCH, BUDGET)))
    whole = [one for one in every if one.scale == 1]
    assert len(every) > len(whole)  # others are worse, and shortened
    assert max(one.training_error for one in every) > max(one.training_error for one in whole)
    stages = sorted({one.stage for one in whole})
    assert len(stages) > 1
    assert [one.stage for one in found] == [stage for stage in stages for _ in range(2)]
    for long, half in zip(found[::2], found[1::2], strict=True):
        errors = [one.training_error for one in whole if one.stage == long.stage]
        assert long.training_error == max(errors)
        assert (half.eps_w, half.scale, long.scale) == (long.eps_w / 2, 1, 1)
        for one in (long, half):
            assert one.training_error == pytest.approx(error_of(task, head_of_candidate(heads, one)))


@pytest.mark.parametrize("together", [1, 3, 24])
def test_the_choice_is_that_of_retraining_one_victim_after_the_other(problem, together, monkeypatch):
    monkeypatch.setattr(reachable_bounded, "LARGEST_SETS", together * 30 * 5 * 4)
    task, heads = problem
    among = candidates(task, heads, SEARCH, BUDGET)
    base = choose_initial(task.train_labels, 30, SEARCH.seed)
    errors = []
    for one in among:
        zeta = canceled(task, head_of_candidate(heads, one), base, SEARCH)
        X, labels = torch.cat([task.train, zeta]), torch.cat([task.train_labels, task.train_labels[base]])
        errors.append(error_of(task, train(X, labels, VICTIM, classes=4, seed=SEARCH.seed)))
    chosen, error = choose(task, heads, SEARCH, VICTIM, BUDGET)
    assert error == pytest.approx(max(errors))
    assert chosen == among[int(np.argmax(errors))]
    assert len(set(errors)) > 1  # there was a choice


@pytest.mark.parametrize("negative", [False, True])
def test_stand_ins_are_what_the_encoder_can_emit_within_the_cap(files, negative):
    """Of an encoder without a ReLU at its end also negative entries."""
    task, heads = read_task(files["features"]), read_trajectory(files["trajectory"])
    task = replace(task, train=task.train - 0.01) if negative else task
    assert (task.train.min() < 0) == negative
    base, head = choose_initial(task.train_labels, 10, 0), Head.from_omega(heads.omega[1])
    zeta = canceled(task, head, base, SEARCH)
    assert zeta.norm(dim=1).max() <= 2 * task.train.norm(dim=1).mean() * (1 + 1e-5)
    assert zeta.norm(dim=1).max() > 1.5 * task.train.norm(dim=1).mean()
    assert (zeta.min() < 0) == negative
    labels, G = task.train_labels, softmax.head_gradient(task.train, task.train_labels, head)
    left, before = (
        (G + softmax.head_gradient(rows, labels[base], head)).norm() for rows in (zeta, task.train[base])
    )
    assert left < before


def test_the_product_is_the_chosen_head_and_repeats(files):
    task, heads = read_task(files["features"]), read_trajectory(files["trajectory"])
    given = replace(run_of("reachable-bounded", None, files), settings=SEARCH, victim=VICTIM, budget=BUDGET)
    made, again = (names.load("reachable-bounded").run(given) for _ in range(2))
    chosen, error = choose(task, heads, SEARCH, VICTIM, BUDGET)
    np.testing.assert_array_equal(made.arrays["omega"][0], head_of_candidate(heads, chosen).omega)
    assert made.facts["victim_training_error"] == error
    assert made.facts["eps_w"] == chosen.eps_w
    step_sizes, epochs = heads.step_size.tolist(), heads.epochs.tolist()
    assert made.facts["step_size"] == pytest.approx(step_sizes[chosen.stage])
    assert made.facts["epochs"] == epochs[chosen.stage]
    assert made.facts == again.facts
    np.testing.assert_array_equal(made.arrays["omega"], again.arrays["omega"])
