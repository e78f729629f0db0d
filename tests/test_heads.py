import numpy as np
import pytest
import torch
from featpoison import heads, softmax
from featpoison.common.seeds import stream
from featpoison.heads import SGD100
from featpoison.softmax import Head
from featpoison.solvers import newton
from featpoison.solvers.newton import Converged, objective, train_converged
from featpoison.solvers.training_sets import TrainingSets
from helpers import random_problem
from oracles import slow
from sklearn.linear_model import LogisticRegression

FAST = SGD100(epochs=12, batch_size=32, tail=3)


def blobs(n=300, d=6, classes=4, seed=0):
    """Overlapping classes, so that the minimiser is finite."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, d, generator=generator, dtype=torch.float64)
    labels = torch.arange(n) % classes
    return centres[labels] + 1.5 * torch.randn(n, d, generator=generator, dtype=torch.float64), labels


def sklearn_omega(X, labels, ridge):
    """Bias as a penalised column of ones, as in our objective."""
    Z = softmax.with_ones(X).numpy()
    model = LogisticRegression(C=1 / (len(X) * ridge), fit_intercept=False, tol=1e-12, max_iter=10_000, solver="newton-cg")
    return torch.from_numpy(model.fit(Z, labels.numpy()).coef_)


@pytest.mark.parametrize("ridge", [1e-6, 1e-3])
def test_converged_agrees_with_scikit_learn(ridge):
    X, labels = blobs()
    victim = Converged(ridge=ridge)
    mixture = TrainingSets.of_clean(X, labels)
    omega, certificate = train_converged(mixture, victim, classes=4)
    theirs = sklearn_omega(X, labels, ridge)
    ours, reference = objective(mixture, omega, ridge), objective(mixture, theirs[None], ridge)
    assert certificate.max() <= 1e-6
    assert abs(ours - reference).item() <= 1e-8
    predictions = [softmax.logits(X, Head.from_omega(o)).argmax(1) for o in (omega[0], theirs)]
    assert torch.equal(*predictions)


def test_certificate_is_the_mean_gradient_of_autograd():
    X, labels = blobs(100)
    victim = Converged(ridge=1e-3)
    omega, certificate = train_converged(TrainingSets.of_clean(X, labels), victim, classes=4)
    gradient = slow.head_gradient(X, labels, Head.from_omega(omega[0])) / 100 + 1e-3 * omega[0]
    assert gradient.abs().max().item() == pytest.approx(certificate.item(), rel=1e-3, abs=1e-14)


def poisoned(K=3, n=20):
    X, labels = blobs()
    parts = [blobs(n, seed=10 + k) for k in range(K)]
    return TrainingSets(X, labels, torch.stack([5 * part[0] for part in parts]), torch.stack([part[1].roll(1) for part in parts]))


def test_heads_too_large_for_an_inverse_converge_without(monkeypatch):
    mixture = poisoned()
    usual, _ = train_converged(mixture, Converged(), classes=4)
    monkeypatch.setattr(newton, "LARGEST_INVERSE", 0)
    monkeypatch.setattr(newton, "_inverse", None)
    plain, certificate = train_converged(mixture, Converged(), classes=4)
    assert certificate.max() <= 1e-8
    torch.testing.assert_close(plain, usual, rtol=1e-4, atol=1e-5)


def test_many_problems_together_equal_each_alone():
    mixture = poisoned()
    together, _ = train_converged(mixture, Converged(), classes=4)
    sgd = heads.train_sgd(mixture, FAST, classes=4, seeds=(0, 7))
    for k in range(3):
        alone = TrainingSets(mixture.clean, mixture.clean_labels, mixture.poisons[k : k + 1], mixture.poison_labels[k : k + 1])
        torch.testing.assert_close(together[k], train_converged(alone, Converged(), classes=4)[0][0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(sgd[k, 1], heads.train_sgd(alone, FAST, classes=4, seeds=(7,))[0, 0])
        joined = torch.cat([mixture.clean, mixture.poisons[k]]), torch.cat([mixture.clean_labels, mixture.poison_labels[k]])
        torch.testing.assert_close(together[k], heads.train(*joined, Converged(), classes=4).omega, rtol=1e-4, atol=1e-5)


def test_sgd_equals_torch_optimiser():
    mixture = poisoned(K=1)
    X = torch.cat([mixture.clean, mixture.poisons[0]])
    labels = torch.cat([mixture.clean_labels, mixture.poison_labels[0]])
    settings = FAST.model_copy(update={"weight_decay": 0.01})
    ours = heads.train_sgd(mixture, settings, classes=4, seeds=(3,))[0, 0, -1]
    cpu = torch.device("cpu")
    orders = [torch.randperm(len(X), generator=stream(3, 1, epoch, device=cpu)) for epoch in range(settings.epochs)]
    oracle = slow.sgd(X, labels, heads.initial_omega(4, 6, 3).double(), orders, settings)
    torch.testing.assert_close(ours, oracle)


def test_problems_far_apart_get_an_inverse_of_their_own(monkeypatch):
    """Poisons of very different sizes: one preconditioner for all would take hundreds of products a step."""
    monkeypatch.setattr(newton, "SHARED_ITERATIONS", 2)
    X, labels = blobs()
    poisons = torch.stack([scale * torch.randn(20, X.shape[1], dtype=X.dtype) for scale in (0.1, 30.0)])
    mixture = TrainingSets(X, labels, poisons, torch.stack([labels[:20], labels[20:40]]))
    solver = newton.Newton(mixture, Converged())
    omega, certificate = solver.minimise(torch.zeros(2, 4, X.shape[1] + 1, dtype=torch.float64))
    assert not solver.shared
    assert solver.inverse.shape == (2, omega[0].numel(), omega[0].numel())
    assert certificate.max() <= 1e-8
    for k, one in enumerate(mixture.each()):
        torch.testing.assert_close(omega[k], train_converged(one, Converged(), classes=4)[0][0], rtol=1e-4, atol=1e-5)
    solver.forget()
    assert solver.shared


def test_sgd_reports_the_last_epochs():
    trail = heads.train_sgd(TrainingSets.of_clean(*blobs()), FAST, classes=4, seeds=(0, 1))
    assert trail.shape == (1, 2, 3, 4, 7)
    assert not torch.equal(trail[0, 0], trail[0, 1])


def test_same_seed_same_bits_and_sgd_approaches_the_minimum():
    X, labels = blobs()
    first, second = (heads.train(X.float(), labels, SGD100(epochs=200), classes=4, seed=5).omega for _ in range(2))
    assert torch.equal(first, second)
    mixture = TrainingSets.of_clean(X, labels)
    best = train_converged(mixture, Converged(), classes=4)[0]
    gap = objective(mixture, first.double()[None], 1e-6) - objective(mixture, best, 1e-6)
    assert 0 <= gap.item() < 1e-3


def test_an_uncertified_victim_is_refused():
    with pytest.raises(RuntimeError, match=r"largest gradient entry .* needed 1e-06"):
        train_converged(TrainingSets.of_clean(*blobs()), Converged(iterations=1), classes=4)


def test_a_class_without_rows_is_fine():
    X, labels = blobs()
    keep = labels != 2
    omega, certificate = train_converged(TrainingSets.of_clean(X[keep], labels[keep]), Converged(ridge=1e-4), classes=4)
    assert certificate.max() <= 1e-6
    assert not (softmax.logits(X, Head.from_omega(omega[0])).argmax(1) == 2).any()
    assert np.isfinite(omega.numpy()).all()


def test_ill_conditioned_separable_problem_converges():
    X, labels, _ = random_problem(40, 60, 3)
    _, certificate = train_converged(TrainingSets.of_clean(X, labels), Converged(), classes=3)
    assert certificate.max() <= 1e-6
