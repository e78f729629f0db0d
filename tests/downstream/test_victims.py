"""Retraining both victims on poisoned sets."""

import numpy as np
import torch
from featpoison.downstream.accuracy import accuracy
from featpoison.downstream.poisons import Poisons
from featpoison.downstream.victims import Victims, retrain, retrain_all, training_sets_of
from featpoison.heads import SGD100
from featpoison.solvers.newton import Converged
from featpoison.solvers.training_sets import TrainingSets

VICTIMS = Victims(sgd100=SGD100(epochs=10, tail=4), converged=Converged(ridge=1e-3), seeds=(0, 1))


def test_poisons_with_wrong_labels_cost_accuracy(task):
    """Far-away rows with wrong labels cost both victims accuracy: the whole evaluation reacts to poisons."""
    clean = retrain(task, TrainingSets.of_clean(task.train, task.train_labels), VICTIMS, torch.device("cpu"))
    n = 120
    poison = TrainingSets(
        task.train, task.train_labels, 3 * task.train[:n][None], ((task.train_labels[:n] + 1) % 3)[None]
    )
    hurt = retrain(task, poison, VICTIMS, torch.device("cpu"))
    assert hurt["converged_accuracy"][0] < clean["converged_accuracy"][0] - 0.2
    assert hurt["sgd100_accuracy"][0, :, -1].mean() < clean["sgd100_accuracy"][0, :, -1].mean() - 0.2
    assert clean["sgd100_accuracy"].shape == (1, 2, 4)
    assert clean["converged_certificate"].max() <= 1e-6


def test_stored_heads_give_the_stored_accuracies(task):
    arrays = retrain(task, TrainingSets.of_clean(task.train, task.train_labels), VICTIMS, torch.device("cpu"))
    for victim, share in (
        ("sgd100", arrays["sgd100_accuracy"][0, :, -1]),
        ("converged", arrays["converged_accuracy"]),
    ):
        omega = torch.from_numpy(arrays[f"{victim}_omega"].reshape(-1, 3, 6))
        assert accuracy(task.test, task.test_labels, omega).tolist() == share.tolist()


def test_sets_of_different_sizes_are_trained_each_alone(task):
    """A filter leaves another number of poisons for every seed, perhaps none."""
    X, labels = 3 * task.train, (task.train_labels + 1) % 3
    sets = [Poisons(X[:n], labels[:n]) for n in (60, 0, 60)]
    together = retrain_all(task, sets, VICTIMS, torch.device("cpu"))
    same = retrain_all(task, [sets[0], sets[2]], VICTIMS, torch.device("cpu"))
    clean = retrain(task, TrainingSets.of_clean(task.train, task.train_labels), VICTIMS, torch.device("cpu"))
    assert together["sgd100_omega"].shape == (3, 2, 3, 6)
    np.testing.assert_allclose(together["converged_accuracy"][[0, 2]], same["converged_accuracy"])
    assert together["converged_accuracy"][1] == clean["converged_accuracy"][0]


def test_sets_of_one_size_are_one_problem(task):
    X, labels = task.train, task.train_labels
    sets = [Poisons(X[k : k + n], labels[k : k + n]) for k, n in ((0, 5), (9, 5), (3, 7))]
    (joint,) = training_sets_of(task, sets[:2])
    assert joint.poisons.shape == (2, 5, 5)
    assert torch.equal(joint.poisons[1], X[9:14])
    assert torch.equal(joint.poison_labels[1], labels[9:14])
    alone = training_sets_of(task, sets)
    assert [one.poisons.shape for one in alone] == [(1, 5, 5), (1, 5, 5), (1, 7, 5)]
    assert all(one.clean is X for one in (joint, *alone))
