"""The converged victim against scikit-learn, autograd, and itself in other batches."""

import dataclasses

import numpy as np
import pytest
import torch
from featpoison import softmax
from featpoison.softmax import Head
from featpoison.solvers import class_inverses, newton
from featpoison.solvers import objective as objectives
from featpoison.solvers.newton import Converged, objective, train_converged
from featpoison.solvers.training_sets import TrainingSets
from helpers import random_problem
from oracles import slow
from problems import blobs, long_poisons, poisoned_sets
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


def test_heads_too_large_for_inverses_converge_without(monkeypatch):
    sets = poisoned_sets()
    usual, _ = train_converged(sets, Converged(), classes=4)
    monkeypatch.setattr(class_inverses, "LARGEST", 0)
    monkeypatch.setattr(class_inverses, "inverses_of", None)
    plain, certificate = train_converged(sets, Converged(), classes=4)
    assert certificate.max() <= 1e-8
    torch.testing.assert_close(plain, usual, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("near", [False, True])
@pytest.mark.parametrize(
    ("limited", "limit"),
    [
        (class_inverses, {"LARGEST": 2 * 8 * 4 * 7**2}),  # the inverses of two problems
        (newton, {"LARGEST_POISONS": 1}),
    ],
)
def test_more_than_memory_has_room_for_is_solved_one_problem_after_the_other(
    monkeypatch, near, limited, limit
):
    sets, sizes = poisoned_sets(), []
    usual, _ = train_converged(sets, Converged(), classes=4)
    minimise = newton.Newton.minimise
    monkeypatch.setattr(
        newton.Newton, "minimise", lambda self, start: sizes.append(start) or minimise(self, start)
    )
    for name, value in limit.items():
        monkeypatch.setattr(limited, name, value)
    found, certificate = train_converged(sets, Converged(), classes=4, guess=usual if near else None)
    assert [len(start) for start in sizes] == [1, 1, 1]
    at_first = found[:1] if near else torch.zeros_like(found[:1])
    assert torch.equal(torch.cat(sizes), usual if near else torch.cat([at_first, found[:1], found[:1]]))
    assert certificate.shape == (3,)
    torch.testing.assert_close(found, usual, rtol=1e-4, atol=1e-5)


def test_problems_far_apart_have_inverses_of_their_own(generator):
    """Poisons of very different lengths."""
    X, labels = blobs()
    victim = Converged(ridge=1e-3)  # so that a small gradient means a small error
    directions = torch.randn(2, 20, X.shape[1], dtype=X.dtype, generator=generator)
    poisons = directions * torch.tensor([0.1, 30.0]).view(2, 1, 1)
    sets = TrainingSets(X, labels, poisons, torch.stack([labels[:20], labels[20:40]]))
    solver = newton.Newton(sets, victim)
    omega, certificate = solver.minimise(torch.zeros(2, 4, X.shape[1] + 1, dtype=torch.float64))
    assert solver.inverses.known([0, 1])
    assert certificate.max() <= 1e-8
    for k, one in enumerate(sets.each()):
        torch.testing.assert_close(
            omega[k], train_converged(one, victim, classes=4)[0][0], rtol=1e-4, atol=1e-5
        )
    solver.forget()
    assert not solver.inverses.known([0])
    assert not solver.inverses.known([1])


def test_a_solved_problem_is_left_alone(monkeypatch):
    """It stays where it started, and no step is taken for it."""
    sets, moved = poisoned_sets(), []
    usual, _ = train_converged(sets, Converged(), classes=4)
    search = newton.step_along
    monkeypatch.setattr(
        newton, "step_along", lambda sub, at, direction: moved.append(at.omega) or search(sub, at, direction)
    )
    start = torch.zeros_like(usual)
    start[1] = usual[1]
    omega, certificate = newton.Newton(sets, Converged()).minimise(start)
    assert torch.equal(omega[1], usual[1])
    assert certificate.max() <= 1e-8
    assert moved
    assert all(len(heads) <= 2 for heads in moved)
    torch.testing.assert_close(omega, usual, rtol=1e-4, atol=1e-5)


def test_problems_that_are_done_leave_the_others_their_blocks(monkeypatch):
    """Blocks of fewer problems could be larger, and those of all do not fit them."""
    usual, _ = train_converged(poisoned_sets(K=6), Converged(), classes=4)
    monkeypatch.setattr(objectives, "BLOCK", 100)
    monkeypatch.setattr(objectives, "LOGITS_OF_BLOCK", 300)
    done = usual.clone()
    done[:4] = 0  # the last two begin where they end
    omega, certificate = train_converged(poisoned_sets(K=6), Converged(), classes=4, guess=done)
    assert certificate.max() <= 1e-6
    torch.testing.assert_close(omega, usual, rtol=1e-4, atol=1e-5)


def test_nothing_is_done_where_all_is_solved(monkeypatch):
    sets = poisoned_sets()
    usual, before = train_converged(sets, Converged(), classes=4)
    monkeypatch.setattr(newton, "step_along", None)
    omega, certificate = newton.Newton(sets, Converged()).minimise(usual)
    assert torch.equal(omega, usual)
    assert torch.equal(certificate, before)


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


def converges(sets):
    """Train a victim, hold its certificate against autograd's gradient, and return its Newton steps."""
    steps, search = [], newton.step_along
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(newton, "step_along", lambda *args, **more: steps.append(1) or search(*args, **more))
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
    starts.clear()
    guess = usual.float()
    guess[0] = 1e3  # worse than zero
    guess[2] = torch.nan
    found, certificate = train_converged(sets, Converged(), classes=4, guess=guess)
    assert certificate.max() <= 1e-8
    torch.testing.assert_close(found, usual, rtol=1e-4, atol=1e-5)
    first, others = starts
    assert not first.any()
    assert torch.equal(others, torch.stack([guess[1].double(), found[0]]))


@pytest.mark.parametrize(
    ("limited", "limit", "made"),
    [
        (newton, {}, {0}),
        (newton, {"LARGEST_POISONS": 1}, {0}),  # one after the other
        (class_inverses, {"LARGEST": 2 * 8 * 4 * 7**2}, {0, 1, 2, 3, 4}),  # there is no room for others' ones
    ],
)
def test_others_begin_with_the_inverses_of_the_first(monkeypatch, limited, limit, made):
    """They are near each other, so that no other one needs inverses of its own."""
    sets, poisons = poisoned_sets(K=5, n=3), []
    inverses_of = class_inverses.inverses_of

    def noted(sample, sets, k, omega, ridge):
        poisons.append(sets.poisons[k].clone())
        return inverses_of(sample, sets, k, omega, ridge)

    monkeypatch.setattr(class_inverses, "inverses_of", noted)
    for name, value in limit.items():
        monkeypatch.setattr(limited, name, value)
    train_converged(sets, Converged(), classes=4)
    assert {k for k in range(5) for one in poisons if torch.equal(one, sets.poisons[k])} == made


def test_others_begin_at_zero_where_the_first_one_ended_far_away(monkeypatch):
    """Its many poisons have wrong labels and theirs right ones."""
    X, labels = blobs()
    poisons = X.repeat(10, 1).expand(3, -1, -1)
    own = labels.repeat(10)
    sets, starts = TrainingSets(X, labels, poisons, torch.stack([own.roll(1), own, own])), []
    minimise = newton.Newton.minimise
    monkeypatch.setattr(
        newton.Newton, "minimise", lambda self, start: starts.append(start) or minimise(self, start)
    )
    omega, certificate = train_converged(sets, Converged(ridge=1e-3), classes=4)
    assert len(starts) == 2
    assert not starts[1].any()
    assert certificate.max() <= 1e-8
    for k, one in enumerate(sets.each()):
        alone, _ = train_converged(one, Converged(ridge=1e-3), classes=4)
        torch.testing.assert_close(omega[k], alone[0], rtol=1e-4, atol=1e-5)


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
