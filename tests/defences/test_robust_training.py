"""Defences that change the training, and victims behind any defence."""

from functools import partial

import pytest
import torch
from featpoison.defences import names
from featpoison.defences.defence import Defended
from featpoison.defences.holdout_ridge import accuracies
from featpoison.defences.median_of_means import BlockMedians
from featpoison.defences.retraining import DefenceError, defended_task, retrain_defended
from featpoison.downstream.victims import retrain
from featpoison.heads import train_sgd
from featpoison.softmax import Head, head_gradient
from featpoison.solvers.training_sets import TrainingSets
from sklearn.linear_model import LogisticRegression
from small_task import CLASSES, QUICK, WIDTH


def test_one_block_is_plain_training(task):
    sets = TrainingSets.of_clean(task.train, task.train_labels)
    plain, blocks = (
        train_sgd(sets, QUICK.sgd100, classes=CLASSES, seeds=(0, 1), gradients=gradients)
        for gradients in (None, partial(BlockMedians, blocks=1))
    )
    torch.testing.assert_close(blocks, plain)


def test_a_step_goes_along_the_median_of_the_means_of_blocks(task):
    sets = TrainingSets.of_clean(task.train.double(), task.train_labels)
    heads = Head.from_omega(torch.randn(1, 2, CLASSES, WIDTH + 1, dtype=torch.float64))
    order = torch.stack([torch.randperm(120), torch.randperm(120)])
    for size, summed in BlockMedians(sets, 5).batches(order, 32):  # 32 = 5 * 6 + 2; the last batch is of 24
        inside = size // 5
        for seed in range(2):
            head = Head(heads.weight[0, seed], heads.bias[0, seed])
            means = [
                head_gradient(sets.clean[rows], sets.clean_labels[rows], head) / inside
                for rows in order[seed, : 5 * inside].split(inside)
            ]
            expected = size * torch.stack(means).median(0).values
            torch.testing.assert_close(summed(heads)[0, seed], expected)
        order = order[:, size:]


def test_few_poisons_in_few_blocks_do_not_matter(task):
    """Two poisons in a batch of ten blocks, however long they are."""
    poisons = torch.cat([task.train, 1e6 * task.train[:2]])
    sets = TrainingSets.of_clean(poisons, torch.cat([task.train_labels, torch.zeros(2, dtype=torch.long)]))
    head = Head.from_omega(torch.zeros(1, 1, CLASSES, WIDTH + 1))
    order = torch.arange(122).flip(0)[None]  # poisons first: the last rows fill no block
    ((size, summed),) = BlockMedians(sets, 9).batches(order, 122)
    mean = head_gradient(task.train, task.train_labels, Head.from_omega(torch.zeros(CLASSES, WIDTH + 1)))
    assert (summed(head)[0, 0] / size - mean / 120).norm() < 1
    assert (head_gradient(poisons, sets.clean_labels, head) / size).norm() > 1e3


def test_a_robust_training_has_no_converged_victim(defending, long_poisons):
    given_ = defending("median-of-means", *long_poisons)
    found = retrain_defended(given_, names.load("median-of-means").run(given_))
    assert found.keys() == {"sgd100_omega", "sgd100_correct"}
    assert found["sgd100_correct"].shape == (2, 60)


def test_the_best_ridge_on_the_holdout_is_taken(defending, long_poisons):
    ridges = (1e-4, 1e-2, 1.0, 100.0)
    given_ = defending("holdout-ridge", *long_poisons, ridges=ridges, holdout=0.3)
    trusted = torch.arange(132) < 36
    found = accuracies(given_, trusted)
    for value, ridge in zip(found, ridges, strict=True):
        X = torch.nn.functional.pad(given_.features, (0, 1), value=1.0).double().numpy()
        model = LogisticRegression(C=1 / (ridge * 96), fit_intercept=False, tol=1e-8, max_iter=2000)
        model.fit(X[36:], given_.labels[36:].numpy())
        assert value == pytest.approx(model.score(X[:36], given_.labels[:36].numpy()), abs=1.1 / 36)
    chosen = names.load("holdout-ridge").run(given_)
    ridge = chosen.facts["ridge"]
    assert ridge in ridges
    assert (chosen.victims.sgd100.weight_decay, chosen.victims.converged.ridge) == (ridge, ridge)
    assert chosen.victims.seeds == QUICK.seeds


def test_of_equal_ridges_the_largest_is_taken(defending):
    given_ = defending("holdout-ridge", ridges=(1e-4, 1.01e-4, 1e-5))
    assert names.load("holdout-ridge").run(given_).facts["ridge"] == 1.01e-4


def test_behind_no_defence_victims_are_the_usual_ones(defending, long_poisons):
    given_ = defending("oracle-filter", *long_poisons)
    found = retrain_defended(given_, Defended())
    sets = TrainingSets.of_clean(given_.features, given_.labels)
    usual = retrain(given_.task, sets, QUICK, torch.device("cpu"))
    assert (found["sgd100_omega"].numpy() == usual["sgd100_omega"][0]).all()
    assert (found["converged_omega"].numpy() == usual["converged_omega"]).all()
    assert found["converged_correct"].double().mean().item() == pytest.approx(usual["converged_accuracy"][0])
    assert found["sgd100_correct"].double().mean(1).tolist() == pytest.approx(
        usual["sgd100_accuracy"][0, :, -1].tolist()
    )


def test_rows_and_features_that_a_defence_changes_reach_the_victims(defending, long_poisons, task):
    given_ = defending("oracle-filter", *long_poisons)
    rows = torch.tensor([0, 1, 2, 125])
    found = defended_task(given_, Defended(rows=rows, train=2 * given_.features, test=3 * task.test))
    assert torch.equal(found.train, 2 * given_.features[rows])
    assert torch.equal(found.train_labels, given_.labels[rows])
    assert torch.equal(found.test, 3 * task.test)


def test_a_class_without_rows_is_named(defending):
    given_ = defending("oracle-filter")
    rows = torch.nonzero(given_.labels != 1).squeeze(1)
    message = "it removes all 40 training rows of class 1, expected some to be left"
    with pytest.raises(DefenceError, match=message):
        retrain_defended(given_, Defended(rows=rows))
