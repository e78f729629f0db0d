"""Heads at several stages of training, and the gradients there."""

import numpy as np
import pytest
import torch
from featpoison import softmax, store
from featpoison.common.seeds import stream
from featpoison.downstream.trajectory import Trajectory, head_of, read_trajectory, train_heads
from featpoison.heads import SGD100, train
from featpoison.softmax import Head
from helpers import RECORD
from oracles import slow

STAGES = Trajectory(step_sizes=(0.01, 0.2), epochs=(2, 5, 9), batch_size=32, seed=3, minibatch=16, draws=2)
EACH = [(size, epochs) for size in STAGES.step_sizes for epochs in STAGES.epochs]


@pytest.fixture
def heads(task):
    return train_heads(task, STAGES)


def test_each_stage_is_a_training_of_its_own(task, heads):
    assert heads.omega.shape == (6, 3, 6)
    for stage, (size, epochs) in enumerate(EACH):
        victim = SGD100(learning_rate=size, epochs=epochs, batch_size=32, tail=1)
        own = train(task.train, task.train_labels, victim, classes=3, seed=3)
        assert torch.equal(heads.omega[stage], own.omega)
        assert torch.equal(head_of(heads, stage).omega, own.omega)
        assert heads.step_size[stage].item() == pytest.approx(size)
        assert heads.epochs[stage].item() == epochs
        wrong = softmax.logits(task.train, own).argmax(1) != task.train_labels
        assert heads.training_error[stage].item() == pytest.approx(wrong.double().mean().item())


def test_a_stage_does_not_depend_on_the_others(task, heads):
    alone = train_heads(task, STAGES.model_copy(update={"step_sizes": (0.2,), "epochs": (5,)}))
    for name, array in alone.arrays().items():
        np.testing.assert_array_equal(array[0], heads.arrays()[name][EACH.index((0.2, 5))])


def test_gradients_are_those_of_autograd(task, heads):
    """Of all training rows, and of mini-batches that are the same at every head."""
    X, labels = task.train.double(), task.train_labels
    batches = [
        torch.randperm(len(X), generator=stream(draw, device=torch.device("cpu")))[:16] for draw in (0, 1)
    ]
    assert not torch.equal(*batches)
    for stage, omega in enumerate(heads.omega.double()):
        head = Head.from_omega(omega)
        exact = slow.head_gradient(X, labels, head)
        torch.testing.assert_close(heads.gradient[stage].double(), exact, rtol=1e-6, atol=1e-5)
        for draw, rows in enumerate(batches):
            exact = slow.head_gradient(X[rows], labels[rows], head)
            found = heads.minibatch_gradients[stage, draw].double()
            torch.testing.assert_close(found, exact, rtol=1e-6, atol=1e-6)
    # Float32 holds what float64 summed, not what float32 sums.
    exact = torch.stack(
        [softmax.head_gradient(X, labels, Head.from_omega(one.double())) for one in heads.omega]
    )
    assert torch.equal(heads.gradient, exact.float())


def test_they_come_back_from_a_file_as_they_were(heads, tmp_path):
    store.write(tmp_path / "trajectory.h5", heads.arrays(), RECORD)
    found = read_trajectory(tmp_path / "trajectory.h5")
    for name, tensor in vars(heads).items():
        assert torch.equal(getattr(found, name), tensor)
        assert getattr(found, name).dtype == tensor.dtype
    with pytest.raises(FileNotFoundError, match=r"nowhere\.h5"):
        read_trajectory(tmp_path / "nowhere.h5")
