"""The exact bilevel objective against finite differences of retrained victims."""

import pytest
import torch
from featpoison import softmax
from featpoison.attacks.exact_bilevel import Bilevel
from featpoison.softmax import Head
from featpoison.solvers.newton import Converged, train_converged
from featpoison.solvers.training_sets import TrainingSets
from helpers import random_problem


def bilevel_problem(n=4, N=60, d=4, classes=3):
    X, labels, _ = random_problem(N + n, d, classes)
    return (X[:N], labels[:N]), (X[N:], labels[N:])


def test_bilevel_gradient_is_the_finite_difference_of_the_leaders_loss():
    clean, poisons = bilevel_problem()
    victim = Converged(ridge=1e-2, tolerance=1e-13)

    def leader(z):
        omega, _ = train_converged(TrainingSets(*clean, z[None], poisons[1][None]), victim, classes=3)
        return softmax.loss(*clean, Head.from_omega(omega[0])).item()

    objective = Bilevel(clean, poisons, victim, classes=3, tolerance=1e-12)
    ours = -objective.gradient(slice(0, 4), poisons[0])
    assert objective.value() == pytest.approx(-leader(poisons[0]), rel=1e-9)
    for row, column in [(0, 1), (2, 0), (3, 3)]:
        step = torch.zeros_like(poisons[0])
        step[row, column] = 1e-4
        difference = (leader(poisons[0] + step) - leader(poisons[0] - step)) / 2e-4
        assert ours[row, column].item() == pytest.approx(difference, rel=1e-4, abs=1e-7)


def test_the_value_follows_the_poisons_of_the_last_pass():
    """In blocks: the victim is retrained at the first one, on the rows as they are then."""
    clean, poisons = bilevel_problem()
    victim = Converged(ridge=1e-2, tolerance=1e-13)
    objective = Bilevel(clean, poisons, victim, classes=3, tolerance=1e-12)
    moved = poisons[0] + 1
    for start in (0, 2):
        objective.gradient(slice(start, start + 2), moved[start : start + 2])
    half = torch.cat([moved[:2], poisons[0][2:]])
    omega, _ = train_converged(TrainingSets(*clean, half[None], poisons[1][None]), victim, classes=3)
    torch.testing.assert_close(objective.omega, omega, rtol=1e-6, atol=1e-8)
    objective.gradient(slice(0, 2), moved[:2])
    omega, _ = train_converged(TrainingSets(*clean, moved[None], poisons[1][None]), victim, classes=3)
    torch.testing.assert_close(objective.omega, omega, rtol=1e-6, atol=1e-8)
