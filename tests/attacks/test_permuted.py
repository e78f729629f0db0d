"""The permuted target: the clean head's rows moved on by one class, as long as the budget allows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from featpoison import softmax
from featpoison.attacks import names
from featpoison.attacks.target_search import TargetSearch
from featpoison.downstream.stored_heads import read_clean_head
from featpoison.downstream.task import read_task
from featpoison.softmax import Head
from test_runs import run_of


def made_at(files, budget, **changes):
    given = replace(run_of("permuted", None, files), budget=budget, settings=TargetSearch(**changes))
    return names.load("permuted").run(given)


@pytest.mark.parametrize("budget", [0.01, 0.1, 0.5])
def test_rows_are_moved_by_one_class_and_as_long_as_the_limit_allows(files, budget):
    made = made_at(files, budget)
    task, clean = read_task(files["features"]), read_clean_head(files["clean"]).omega
    (omega,), scale = torch.from_numpy(made.arrays["omega"]), made.facts["scale"]
    for row in range(3):
        torch.testing.assert_close(omega[(row + 1) % 3], scale * clean[row])
    X = task.train.double()

    def tau(length):
        head = Head.from_omega(length * clean.double().roll(1, 0))
        return softmax.reachability_threshold(softmax.head_gradient(X, task.train_labels, head), head, len(X))

    assert tau(scale) <= 0.3 * budget
    assert 0 < scale < 1  # here the whole head is out of reach
    assert tau(scale + 1e-5) > 0.3 * budget


def test_each_row_is_called_the_class_after_the_one_that_the_clean_head_says(files):
    made = made_at(files, 0.1)
    task, clean = read_task(files["features"]), read_clean_head(files["clean"])
    said = softmax.logits(task.train, clean).argmax(1)
    moved = softmax.logits(task.train, Head.from_omega(torch.from_numpy(made.arrays["omega"][0]))).argmax(1)
    assert torch.equal(moved, (said + 1) % 3)
    error = (moved != task.train_labels).double().mean().item()
    assert made.facts["training_error"] == pytest.approx(error)


def test_a_larger_budget_or_share_allows_a_longer_head(files):
    scales = [made_at(files, budget).facts["scale"] for budget in (0.01, 0.1, 0.5)]
    assert scales == sorted(set(scales))
    assert made_at(files, 0.1, share=0.6).facts["scale"] > scales[1]
    # What counts is the product; the smallest scale and the steps of other searches change nothing.
    same = made_at(files, 0.05, share=0.6, least_scale=0.9, largest_step=1.0)
    assert same.facts["scale"] == scales[1]
    np.testing.assert_array_equal(same.arrays["omega"], made_at(files, 0.1).arrays["omega"])
