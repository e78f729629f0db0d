"""What heads make of target inputs, against plain loops in float64."""

import math

import numpy as np
import pytest
import torch
from featpoison.downstream.target_measures import TargetInputs, cosines, measure
from featpoison.downstream.task import Task
from helpers import random_problem
from hypothesis import given, settings
from hypothesis import strategies as st

ROWS, LABELS = torch.tensor([3, 11, 4]), torch.tensor([2, 0, 1])


@pytest.fixture
def task():
    train, train_labels, _ = random_problem(20, 5, 3, seed=1, dtype=torch.float32)
    test, test_labels, _ = random_problem(15, 5, 3, seed=2, dtype=torch.float32)
    test_labels[ROWS] = (LABELS + 1) % 3
    return Task(train, train_labels, test, test_labels, 3)


def heads(count, seed=0, dtype=torch.float32):
    return torch.randn(count, 3, 6, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_measures_are_those_of_plain_loops(task):
    given = {"sgd100": heads(2), "converged": heads(1, seed=5, dtype=torch.float64)}
    found = measure(task, given, TargetInputs(ROWS, LABELS))
    for name, omegas in given.items():
        for v, omega in enumerate(omegas.double().tolist()):
            for row in range(15):
                z = [*task.test[row].double().tolist(), 1.0]
                scores = [sum(a * b for a, b in zip(w, z, strict=True)) for w in omega]
                assert found[f"{name}_predictions"][v, row] == scores.index(max(scores))
                for k in [k for k, target in enumerate(ROWS.tolist()) if target == row]:
                    wanted = scores[LABELS[k]]
                    total = sum(math.exp(score) for score in scores)
                    assert found[f"{name}_probability"][v, k] == pytest.approx(
                        math.exp(wanted) / total, rel=1e-5
                    )
                    assert found[f"{name}_rank"][v, k] == sorted(scores, reverse=True).index(wanted) + 1
    assert found["sgd100_predictions"].shape == (2, 15)
    assert found["converged_rank"].shape == (1, 3)


def test_the_cosine_is_with_the_mean_of_the_wanted_class_without_targets(task):
    found = cosines(task, TargetInputs(ROWS, LABELS))
    for k, (row, label) in enumerate(zip(ROWS.tolist(), LABELS.tolist(), strict=True)):
        own = [i for i in range(15) if task.test_labels[i] == label and i not in ROWS.tolist()]
        mean = np.mean([task.test[i].double().numpy() for i in own], 0)
        z = task.test[row].double().numpy()
        assert found[k].item() == pytest.approx(z @ mean / np.linalg.norm(z) / np.linalg.norm(mean))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.floats(0.1, 10))
def test_success_is_rank_one_and_scale_does_not_move_a_cosine(seed, scale):
    test, _, head = random_problem(12, 4, 3, seed=seed)
    labels = torch.arange(12) % 3
    task = Task(test, labels, test, labels, 3)
    targets = TargetInputs(torch.tensor([0, 1]), torch.tensor([1, 2]))
    omega = torch.cat([head.weight, head.bias[:, None]], 1)[None]
    found = measure(task, {"sgd100": omega}, targets)
    success = found["sgd100_predictions"][0, targets.rows] == targets.labels.numpy()
    assert (success == (found["sgd100_rank"][0] == 1)).all()
    assert (found["sgd100_probability"][0][success] > 1 / 3).all()
    longer = Task(test, labels, scale * test, labels, 3)
    np.testing.assert_allclose(cosines(longer, targets).numpy(), found["cosine"], atol=1e-12)


def test_a_class_of_targets_alone_is_named(task):
    labels = task.test_labels.clone()
    labels[labels == 2] = 0
    bare = Task(task.train, task.train_labels, task.test, labels, 3)
    with pytest.raises(ValueError, match="class 2 has no test inputs beside targets"):
        cosines(bare, TargetInputs(ROWS, LABELS))
