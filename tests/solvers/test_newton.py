"""The converged victim against scikit-learn, autograd, and itself in other batches."""

import dataclasses

import numpy as np
import pytest
import torch
from featpoison import softmax
from featpoison.softmax import Head
from featpoison.solvers import newton
from featpoison.solvers.newton import Converged, objective, train_converged
from featpoison.solvers.training_sets import TrainingSets
from helpers import random_problem
from oracles import slow
from problems import blobs, long_poisons, nearly_collinear, poisoned_sets
from sklearn.linear_model import LogisticRegression


def sklearn_omega(X, labels, ridge):
    """Bias as a penalised column of ones, as in our objective."""
    Z = softmax.with_ones(X).numpy()
    model = LogisticRegression(
        C=1 / (len(X) * ridge), fit_intercept=False, tol=1e-12, max_iter=10_000, solver="newton-cg"
    )
    return torch.from_numpy(model.fit(Z, labels.numpy()).coef_)


@pytest.mark.parametrize("ridge", [1e-6, 1e-3])
def test_converged_agrees_with_scikit_learn(ridge):
    X, labels = blobs()
    victim = Converged(ridge=ridge)
    sets = TrainingSets.of_clean(X, labels)
    omega, certificate = train_converged(sets, victim, classes=4)
    theirs = sklearn_omega(X, labels, ridge)
    ours, reference = objective(sets, omega, ridge), objective(sets, theirs[None], ridge)
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


def test_heads_too_large_for_an_inverse_converge_without(monkeypatch):
    sets = poisoned_sets()
    usual, _ = train_converged(sets, Converged(), classes=4)
    monkeypatch.setattr(newton, "LARGEST_INVERSE", 0)
    monkeypatch.setattr(newton, "_inverse", None)
    plain, certificate = train_converged(sets, Converged(), classes=4)
    assert certificate.max() <= 1e-8
    torch.testing.assert_close(plain, usual, rtol=1e-4, atol=1e-5)


def test_problems_far_apart_get_an_inverse_of_their_own(monkeypatch, generator):
    """Poisons of very different sizes: one preconditioner for all would take hundreds of products a step."""
    monkeypatch.setattr(newton, "SHARED_ITERATIONS", 2)
    X, labels = blobs()
    victim = Converged(ridge=1e-3)  # so that a small gradient means a small error
    directions = torch.randn(2, 20, X.shape[1], dtype=X.dtype, generator=generator)
    poisons = directions * torch.tensor([0.1, 30.0]).view(2, 1, 1)
    sets = TrainingSets(X, labels, poisons, torch.stack([labels[:20], labels[20:40]]))
    solver = newton.Newton(sets, victim)
    omega, certificate = solver.minimise(torch.zeros(2, 4, X.shape[1] + 1, dtype=torch.float64))
    assert not solver.shared
    assert solver.inverse.shape == (2, omega[0].numel(), omega[0].numel())
    assert certificate.max() <= 1e-8
    for k, one in enumerate(sets.each()):
        torch.testing.assert_close(
            omega[k], train_converged(one, victim, classes=4)[0][0], rtol=1e-4, atol=1e-5
        )
    solver.forget()
    assert solver.shared


def test_an_uncertified_victim_is_refused():
    with pytest.raises(RuntimeError, match=r"largest gradient entry .* needed 1e-06"):
        train_converged(TrainingSets.of_clean(*blobs()), Converged(iterations=1), classes=4)


def test_a_class_without_rows_is_fine():
    X, labels = blobs()
    keep = labels != 2
    omega, certificate = train_converged(
        TrainingSets.of_clean(X[keep], labels[keep]), Converged(ridge=1e-4), classes=4
    )
    assert certificate.max() <= 1e-6
    assert not (softmax.logits(X, Head.from_omega(omega[0])).argmax(1) == 2).any()
    assert np.isfinite(omega.numpy()).all()


def test_ill_conditioned_separable_problem_converges():
    X, labels, _ = random_problem(40, 60, 3)
    _, certificate = train_converged(TrainingSets.of_clean(X, labels), Converged(), classes=3)
    assert certificate.max() <= 1e-6


@pytest.fixture
def one_set():
    """One set of poisons in float64, the solver's own type."""
    return poisoned_sets(K=1)


def test_moving_poisons_leaves_the_callers_tensors_alone(one_set):
    before = one_set.poisons.clone()
    solver = newton.Newton(one_set, Converged())
    solver.move_poisons(slice(3, 7), torch.zeros(4, 6))
    solver.set_poisons(solver.sets.poisons + 1)
    assert torch.equal(one_set.poisons, before)


def test_moved_poisons_are_what_is_minimised(one_set):
    solver = newton.Newton(one_set, Converged(ridge=1e-3))
    start = torch.zeros(1, 4, 7, dtype=torch.float64)
    omega, _ = solver.minimise(start)
    features = blobs(4, seed=5)[0].float()
    solver.move_poisons(slice(3, 7), features)
    moved, certificate = solver.minimise(omega)
    poisons = one_set.poisons.clone()
    poisons[0, 3:7] = features
    assert torch.equal(solver.sets.poisons, poisons)
    fresh, _ = train_converged(
        dataclasses.replace(one_set, poisons=poisons), Converged(ridge=1e-3), classes=4
    )
    torch.testing.assert_close(moved, fresh, rtol=1e-4, atol=1e-5)
    assert certificate.max() <= 1e-8
    assert (moved - omega).abs().max() > 1e-2  # they matter


def test_poisons_are_set_as_a_whole(one_set):
    solver = newton.Newton(one_set, Converged())
    features = 2 * one_set.poisons
    solver.set_poisons(features)
    assert torch.equal(solver.sets.poisons, features)
    features += 1  # the solver has its own
    assert not torch.equal(solver.sets.poisons, features)
    with pytest.raises(ValueError, match=r"poisons \(20, 6\), expected \(1, 20, 6\)"):
        solver.set_poisons(features[0])


LENGTHS = (1, 30, 100, 300)
ENCODERS = ("embedded-simclr-cifar10", "embedded-simclr-tiny-imagenet")


def preconditioned(sets, ridge=1e-6):
    """The eigenvalues of the Hessian times the preconditioner, at a head near zero; all 1 for an exact
    one."""
    generator = torch.Generator().manual_seed(1)
    omega = 0.01 * torch.randn(4, sets.clean.shape[1] + 1, generator=generator, dtype=torch.float64)
    X = torch.cat([sets.clean, *sets.poisons])
    H = softmax.hessian(X, Head.from_omega(omega)) / sets.rows
    H.diagonal().add_(ridge)
    inverse = newton._inverse(sets, omega, ridge)
    torch.testing.assert_close(inverse, inverse.T)
    return torch.linalg.eigvals(inverse @ H).real


@pytest.mark.parametrize("times", LENGTHS)
def test_the_preconditioner_is_as_good_beside_long_poisons(times):
    """All of it in float32, at 300 times, was no positive definite matrix: its smallest eigenvalue is minus
    twice the ridge and shift that it was given."""
    X, labels = nearly_collinear()
    sets = TrainingSets(X, labels, times * X[None, :20], labels[None, :20].roll(1))
    found = preconditioned(sets)
    assert 0.5 < found.min() <= found.max() < 1.1


def test_the_shift_grows_until_the_hessian_has_a_factor(monkeypatch):
    X, labels = nearly_collinear()
    monkeypatch.setattr(newton, "ROUNDING", 1e-16)
    tried, factorise = [], torch.linalg.cholesky_ex
    monkeypatch.setattr(torch.linalg, "cholesky_ex", lambda H: tried.append(H) or factorise(H))
    found = preconditioned(TrainingSets.of_clean(X, labels), ridge=1e-14)
    assert len(tried) > 1
    assert found.abs().max() < 10


def test_features_that_are_not_finite_have_no_preconditioner():
    X, labels = nearly_collinear()
    X[3, 0] = torch.inf
    with pytest.raises(FloatingPointError, match="expected finite features"):
        newton._inverse(TrainingSets.of_clean(X, labels), torch.zeros(4, 31, dtype=torch.float64), 1e-6)


def converges(sets):
    """Train a victim, hold its certificate against autograd's gradient, and return its Newton steps."""
    steps, search = [], newton._line_search
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(newton, "_line_search", lambda *args, **more: steps.append(1) or search(*args, **more))
        omega, certificate = train_converged(sets, Converged(), classes=10)
    assert certificate.max() <= 1e-8
    for k, one in enumerate(sets.each()):
        X = torch.cat([one.clean, one.poisons[0]]).double()
        labels = torch.cat([one.clean_labels, one.poison_labels[0]])
        gradient = slow.head_gradient(X, labels, Head.from_omega(omega[k])) / len(X) + 1e-6 * omega[k]
        assert gradient.abs().max() <= 2e-8
    return len(steps)


@pytest.mark.parametrize("times", LENGTHS)
def test_linear_systems_are_solved_to_float64s_residual(demo_features, times):
    """By products that the test builds itself, also beside poisons that are much longer."""
    X, labels = demo_features[ENCODERS[0]]
    sets = long_poisons(X[:300], labels[:300], times=times, n=10)
    solver = newton.Newton(sets, Converged())
    omega, _ = solver.minimise(torch.zeros(1, 10, X.shape[1] + 1, dtype=torch.float64))
    b = torch.randn(omega.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = solver.solve(omega, b, 1e-6)
    rows = torch.cat([sets.clean, sets.poisons[0]]).double()
    H = softmax.hessian(rows, Head.from_omega(omega[0])) / len(rows)
    residual = b.flatten() - H @ x.flatten() - 1e-6 * x.flatten()
    assert residual.norm() <= 2e-6 * b.norm()
    assert (x - solver.solve(omega, b, 1e-6, start=x)).norm() == 0  # nothing is left to correct


def test_a_linear_system_that_stays_unsolved_is_an_error(monkeypatch, one_set):
    monkeypatch.setattr(newton, "REFINEMENTS", 0)
    solver = newton.Newton(one_set, Converged())
    b = torch.ones(1, 4, 7, dtype=torch.float64)
    with pytest.raises(RuntimeError, match=r"relative residual 1.0e\+00 after 0 corrections, needed 1e-06"):
        solver.solve(torch.zeros_like(b), b, 1e-6)


def test_a_guess_changes_the_way_and_not_the_end(monkeypatch):
    sets, starts = poisoned_sets(), []
    minimise = newton.Newton.minimise
    monkeypatch.setattr(
        newton.Newton, "minimise", lambda self, start: starts.append(start) or minimise(self, start)
    )
    usual, _ = train_converged(sets, Converged(), classes=4)
    guess = usual.float()
    guess[1] = 1e3  # worse than zero
    found, certificate = train_converged(sets, Converged(), classes=4, guess=guess)
    assert certificate.max() <= 1e-8
    torch.testing.assert_close(found, usual, rtol=1e-4, atol=1e-5)
    assert torch.equal(starts[1][0], guess[0].double())
    assert not starts[1][1].any()


@pytest.mark.parametrize("encoder_name", ENCODERS)
def test_victims_of_long_poisons_converge_on_real_features(demo_features, encoder_name):
    X, labels = demo_features[encoder_name]
    converges(long_poisons(X[:300], labels[:300], times=300, n=10))


@pytest.mark.slow
@pytest.mark.parametrize("random", [False, True])
@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize("times", LENGTHS)
@pytest.mark.parametrize("encoder_name", ENCODERS)
def test_many_victims_of_long_poisons_converge_on_real_features(
    demo_features, encoder_name, times, K, random
):
    converges(long_poisons(*demo_features[encoder_name], times=times, K=K, random=random))


def test_the_line_search_saves_steps_beside_long_poisons():
    """81 where steps were halved until the objective fell."""
    steps = converges(long_poisons(*blobs(d=20, classes=10), times=300, n=20, random=True))
    assert steps <= 60


def test_the_line_search_ends_where_the_objective_is_flat():
    sets = poisoned_sets()
    generator = torch.Generator().manual_seed(0)
    omega = torch.randn(3, 4, 7, generator=generator, dtype=torch.float64)
    for scale in (1e-4, 1.0, 1e4):
        leaf = omega.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(objective(sets, leaf, 1e-3).sum(), leaf)
        direction = -scale * gradient
        direction[1] = 0
        found = newton._line_search(sets, omega, direction, 1e-3)
        leaf = found.clone().requires_grad_(True)
        (there,) = torch.autograd.grad(objective(sets, leaf, 1e-3).sum(), leaf)
        slopes = [(one * direction).sum((1, 2)) for one in (gradient, there)]
        assert torch.equal(found[1], omega[1])
        assert (slopes[1].abs() <= 0.1 * slopes[0].abs() + 1e-12).all()
        assert (objective(sets, found, 1e-3) <= objective(sets, omega, 1e-3)).all()


def test_the_line_search_goes_nowhere_uphill():
    sets = poisoned_sets()
    omega = torch.zeros(3, 4, 7, dtype=torch.float64)
    leaf = omega.clone().requires_grad_(True)
    (uphill,) = torch.autograd.grad(objective(sets, leaf, 1e-3).sum(), leaf)
    found = newton._line_search(sets, omega, uphill, 1e-3)
    torch.testing.assert_close(found, omega, rtol=0, atol=1e-15)
