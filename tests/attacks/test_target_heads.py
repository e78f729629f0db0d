"""What the file of every target head says of it, against automatic differentiation in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from featpoison import softmax, store
from featpoison.attacks import names
from featpoison.downstream.task import read_task
from featpoison.softmax import Head
from oracles import slow
from test_runs import run_of

every_target = pytest.mark.parametrize("name", names.making("target"))


def share_of_wrong(X, labels, head):
    return (softmax.logits(X, head).argmax(1) != labels).double().mean().item()


@every_target
def test_a_file_says_of_each_head_what_it_is(name, files):
    task, made = read_task(files["features"]), names.load(name).run(run_of(name, None, files))
    X, test = task.train.double(), task.test.double()
    for draw, omega in enumerate(torch.from_numpy(made.arrays["omega"]).double()):
        head = Head.from_omega(omega)
        G = slow.head_gradient(X, task.train_labels, head)
        found = torch.from_numpy(made.arrays["clean_gradient"][draw]).double()
        torch.testing.assert_close(found, G, rtol=1e-3, atol=1e-3)
        tau = softmax.reachability_threshold(G, head, 40)
        assert made.arrays["tau"][draw] == pytest.approx(tau, rel=1e-3, abs=1e-5)
        assert made.arrays["training_error"][draw] == pytest.approx(
            share_of_wrong(X, task.train_labels, head)
        )
        assert made.arrays["accuracy"][draw] == pytest.approx(
            1 - share_of_wrong(test, task.test_labels, head)
        )


@every_target
def test_only_searches_depend_on_the_budget_and_no_target_on_the_poison_seed(name, files):
    given = run_of(name, None, files)

    def omega(**changes):
        return names.load(name).run(replace(given, **changes)).arrays["omega"]

    np.testing.assert_array_equal(omega(seed=3), omega(seed=4))
    same = np.array_equal(omega(budget=0.05), omega(budget=0.4))
    attack = names.load(name)  # what follows another target has the budget from that one's file
    assert same == (not attack.by_budget or attack.follows is not None)


@every_target
def test_what_a_target_reads_is_left_as_it_was(name, files):
    before = {need: files[need].read_bytes() for need in names.load(name).needs}
    names.load(name).run(run_of(name, None, files))
    assert {need: files[need].read_bytes() for need in before} == before
    assert store.read(files["features"])["train"].shape == (40, 64)
