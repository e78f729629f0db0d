"""The two victims: SGD against torch's own, batches against single problems."""

import pytest
import torch
from featpoison import heads
from featpoison.common.seeds import stream
from featpoison.heads import SGD100
from featpoison.softmax import Head
from featpoison.solvers.newton import Converged, objective, train_converged
from featpoison.solvers.training_sets import TrainingSets
from oracles import slow
from problems import blobs, poisoned_sets

FAST = SGD100(epochs=12, batch_size=32, tail=3)


@pytest.mark.parametrize("wide", [0, 10**9])
def test_many_problems_together_equal_each_alone(monkeypatch, wide):
    monkeypatch.setattr(heads, "WIDE", wide)
    sets = poisoned_sets()
    together, _ = train_converged(sets, Converged(), classes=4)
    sgd = heads.train_sgd(sets, FAST, classes=4, seeds=(0, 7))
    for k in range(3):
        alone = TrainingSets(
            sets.clean, sets.clean_labels, sets.poisons[k : k + 1], sets.poison_labels[k : k + 1]
        )
        torch.testing.assert_close(
            together[k], train_converged(alone, Converged(), classes=4)[0][0], rtol=1e-4, atol=1e-5
        )
        torch.testing.assert_close(sgd[k, 1], heads.train_sgd(alone, FAST, classes=4, seeds=(7,))[0, 0])
        joined = (
            torch.cat([sets.clean, sets.poisons[k]]),
            torch.cat([sets.clean_labels, sets.poison_labels[k]]),
        )
        torch.testing.assert_close(
            together[k], heads.train(*joined, Converged(), classes=4).omega, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("settings", [FAST, FAST.model_copy(update={"momentum": 0.0, "weight_decay": 0.01})])
def test_sgd_is_torchs_on_a_linear_layer(settings):
    """The same rows in the same order through torch.nn.Linear, torch.optim.SGD and CosineAnnealingLR."""
    sets = poisoned_sets(K=1)
    X = torch.cat([sets.clean, sets.poisons[0]])
    labels = torch.cat([sets.clean_labels, sets.poison_labels[0]])
    trail = heads.train_sgd(sets, settings, classes=4, seeds=(3,))[0, 0]
    linear = torch.nn.Linear(6, 4, dtype=torch.float64)
    start = Head.from_omega(heads.initial_omega(4, 6, 3))
    linear.load_state_dict({"weight": start.weight, "bias": start.bias})
    optimizer = torch.optim.SGD(
        linear.parameters(),
        settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    steps = settings.epochs * 10  # 320 rows in batches of 32
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    for epoch in range(settings.epochs):
        order = torch.randperm(len(X), generator=stream(3, 1, epoch, device=torch.device("cpu")))
        for batch in order.split(settings.batch_size):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(linear(X[batch]), labels[batch]).backward()
            optimizer.step()
            schedule.step()
        last = epoch - settings.epochs + settings.tail
        if last >= 0:
            torch.testing.assert_close(Head.from_omega(trail[last]).weight, linear.weight.detach())
            torch.testing.assert_close(Head.from_omega(trail[last]).bias, linear.bias.detach())
    assert last == 2
    assert (linear.weight - start.weight).abs().max() > 0.1


def test_a_smaller_last_batch_is_used_and_weighs_as_much():
    """7 rows in batches of 4: two steps an epoch, each on the mean of its own rows."""
    X, labels = blobs(7)
    settings = SGD100(epochs=1, batch_size=4, tail=1, momentum=0.0)
    trained = heads.train(X, labels, settings, classes=4, seed=2)
    order = torch.randperm(7, generator=stream(2, 1, 0, device=torch.device("cpu")))
    omega = heads.initial_omega(4, 6, 2).double()
    for batch, rate in ((order[:4], 0.1), (order[4:], 0.05)):
        gradient = slow.head_gradient(X[batch], labels[batch], Head.from_omega(omega)) / len(batch)
        omega = omega - rate * gradient
    torch.testing.assert_close(trained.omega, omega)


def test_untrained_heads_are_those_of_a_linear_layer():
    """Uniform within the bound that torch.nn.Linear has."""
    omega = heads.initial_omega(100, 64, 0)
    layer = torch.nn.Linear(64, 100)
    for found, torchs in ((omega[:, :-1], layer.weight), (omega[:, -1], layer.bias)):
        assert found.abs().max() <= 1 / 8
        assert found.abs().max().item() == pytest.approx(torchs.abs().max().item(), rel=0.05)
        assert found.std().item() == pytest.approx(torchs.std().item(), rel=0.2)
    assert torch.equal(omega, heads.initial_omega(100, 64, 0))
    assert not torch.equal(omega, heads.initial_omega(100, 64, 1))


def test_the_tail_cannot_be_longer_than_the_training():
    with pytest.raises(ValueError, match="'tail' is 10, expected at most the 9 epochs"):
        SGD100(epochs=9)


def test_sgd_reports_the_last_epochs():
    trail = heads.train_sgd(TrainingSets.of_clean(*blobs()), FAST, classes=4, seeds=(0, 1))
    assert trail.shape == (1, 2, 3, 4, 7)
    assert not torch.equal(trail[0, 0], trail[0, 1])


def test_same_seed_same_bits_and_sgd_approaches_the_minimum():
    X, labels = blobs()
    first, second = (
        heads.train(X.float(), labels, SGD100(epochs=200), classes=4, seed=5).omega for _ in range(2)
    )
    assert torch.equal(first, second)
    sets = TrainingSets.of_clean(X, labels)
    best = train_converged(sets, Converged(), classes=4)[0]
    gap = objective(sets, first.double()[None], 1e-6) - objective(sets, best, 1e-6)
    assert 0 <= gap.item() < 1e-3


@pytest.mark.parametrize("n", [0, 1, 20])
def test_shared_rows_give_what_own_rows_give(monkeypatch, n):
    """Batches without poisons, and a last batch that is smaller, among them."""
    sets, found = poisoned_sets(n=max(n, 1)), []
    if n == 0:
        sets = TrainingSets(sets.clean, sets.clean_labels, sets.poisons[:, :0], sets.poison_labels[:, :0])
    for wide in (0, 10**9):
        monkeypatch.setattr(heads, "WIDE", wide)
        settings = SGD100(epochs=3, batch_size=32, tail=2, weight_decay=0.1)
        found.append(heads.train_sgd(sets, settings, classes=4, seeds=(0, 7)))
    torch.testing.assert_close(*found)
    assert found[0].shape == (3, 2, 2, 4, 7)
