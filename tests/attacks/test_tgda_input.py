"""TGDA-input: the total derivative against finite differences, the damped system against a dense solve."""

import math

import pytest
import torch
from featpoison import softmax
from featpoison.attacks.constraints import Box
from featpoison.attacks.input_space import InputSpace, in_feature_space, optimise
from featpoison.attacks.tgda_input import TGDAInput, TotalGradient, solve_damped, split
from featpoison.softmax import Head
from featpoison.solvers.newton import Converged, train_converged
from featpoison.solvers.training_sets import TrainingSets
from helpers import Forgetful, random_problem
from oracles import slow

CPU64 = {"dtype": torch.float64}


def tgda_problem(n=4, N=60, d=4, classes=3, **changes):
    X, labels, head = random_problem(N + n, d, classes)
    settings = TGDAInput(**{"epochs": 3, "damping": 1e-3, "tolerance": 1e-12, "head_steps": 1} | changes)
    return (X[:N], labels[:N]), (X[N:], labels[N:]), head, settings


def test_total_gradient_is_the_finite_difference_of_the_retrained_loss():
    """At a head converged with ridge = damping, D l1 is the exact derivative of the validation loss after
    retraining."""
    clean, poisons, _, settings = tgda_problem(damping=0.05)
    ridge = Converged(ridge=0.05, tolerance=1e-13)
    kept, held_out = split(60, settings)

    def retrained(z):
        sets = TrainingSets(clean[0][kept], clean[1][kept], z[None], poisons[1][None])
        return Head.from_omega(train_converged(sets, ridge, classes=3)[0][0])

    def validation(z):
        return softmax.loss(clean[0][held_out], clean[1][held_out], retrained(z)).item()

    standing = settings.model_copy(update={"head_steps": 0})  # the head stays where it was solved to
    objective = TotalGradient(clean, poisons, retrained(poisons[0]), standing)
    ours = -objective.gradient(slice(0, 4), poisons[0])
    for row, column in [(0, 0), (1, 2), (3, 3)]:
        step = torch.zeros_like(poisons[0])
        step[row, column] = 1e-4
        difference = (validation(poisons[0] + step) - validation(poisons[0] - step)) / 2e-4
        assert ours[row, column].item() == pytest.approx(difference, rel=1e-4, abs=1e-7)


def test_damped_solutions_match_the_dense_autograd_hessian():
    (X, labels), _, head, settings = tgda_problem()
    b = torch.randn(3, 5, **CPU64)
    H = slow.hessian(X, labels, head) / len(X) + settings.damping * torch.eye(15, **CPU64)
    oracle = torch.linalg.solve(H, b.flatten()).view(3, 5)
    for solver in ("conjugate-gradient", "dense"):
        found = solve_damped(X, head, b, settings.model_copy(update={"solver": solver}))
        torch.testing.assert_close(found.x, oracle, rtol=1e-6, atol=1e-6)
        assert found.relative_residual.max() < 1e-9
    warm = solve_damped(X, head, b, settings, start=oracle)
    assert warm.products <= 2


def test_conjugate_gradients_report_an_unfinished_residual():
    (X, _), _, head, settings = tgda_problem(damping=1e-6)
    b = torch.randn(3, 5, **CPU64)
    found = solve_damped(X, head, b, settings.model_copy(update={"iterations": 2}))
    assert found.products == 2
    assert found.relative_residual.item() > 1e-6


@pytest.mark.parametrize("encoder_name", ["embedded-simclr-cifar10", "embedded-simclr-tiny-imagenet"])
def test_the_usual_damping_hardly_turns_the_direction_on_real_features(demo_features, encoder_name):
    """In float32, against the pseudo-inverse of the Hessian in float64, at a head that has been trained."""
    X, labels = demo_features[encoder_name]
    omega = torch.zeros(10, X.shape[1] + 1)
    for _ in range(300):
        omega = omega - 0.1 * softmax.head_gradient(X, labels, Head.from_omega(omega)) / len(X)
    objective = TotalGradient((X, labels), (X[:30], labels[:30]), Head.from_omega(omega), TGDAInput())
    direction = objective.gradient(slice(0, 30), X[:30])
    head, mixed = Head.from_omega(objective.omega.double()), objective.mixed.double()
    H = softmax.hessian(mixed, head) / len(mixed)
    b = softmax.head_gradient(objective.validation.double(), objective.validation_labels, head)
    q = (torch.linalg.pinv(H, hermitian=True, rtol=1e-12) @ b.flatten()).view_as(b)
    oracle = softmax.feature_gradient(X[:30].double(), labels[:30], head, q)
    assert objective.worst_residual <= TGDAInput().tolerance
    for found, expected in ((objective.q, q), (direction, oracle)):
        assert torch.cosine_similarity(found.double().flatten(), expected.flatten(), dim=0) >= 0.99


def test_split_is_a_partition():
    kept, held_out = split(50, TGDAInput())
    assert len(held_out) == 15
    assert torch.equal(torch.cat([kept, held_out]).sort().values, torch.arange(50))


def test_tgda_raises_the_held_out_loss_of_a_retrained_head():
    clean, poisons, head, settings = tgda_problem(n=8, head_steps=20)
    kept, held_out = split(60, settings)

    def held_out_loss(z):
        omega, _ = train_converged(
            TrainingSets(clean[0][kept], clean[1][kept], z[None], poisons[1][None]),
            Converged(ridge=1e-3),
            classes=3,
        )
        return softmax.loss(clean[0][held_out], clean[1][held_out], Head.from_omega(omega[0])).item()

    found = optimise(
        poisons[0],
        TotalGradient(clean, poisons, head, settings),
        InputSpace(epochs=60, step_size=0.1, batch_size=8),
        pull_back=in_feature_space,
        within=Box(),
        threshold=-math.inf,
        checkpoint=Forgetful(),
    )
    assert held_out_loss(found.poisons) > held_out_loss(poisons[0]) + 1


def test_the_head_descends_by_the_gradient_of_the_mean_loss():
    """Twice, on the clean rows that are kept and the poisons as they are, before the poisons' own
    gradient."""
    clean, poisons, head, settings = tgda_problem(head_steps=2, head_step_size=0.3)
    objective = TotalGradient(clean, poisons, head, settings)
    moved = poisons[0] + 0.5
    objective.gradient(slice(0, 4), moved)
    kept, _ = split(60, settings)
    X, y, omega = torch.cat([clean[0][kept], moved]), torch.cat([clean[1][kept], poisons[1]]), head.omega
    for _ in range(2):
        omega = omega - 0.3 * slow.head_gradient(X, y, Head.from_omega(omega)) / len(X)
    torch.testing.assert_close(objective.head.omega, omega)


def test_only_the_first_block_of_a_pass_lets_the_head_descend():
    clean, poisons, head, settings = tgda_problem()
    objective = TotalGradient(clean, poisons, head, settings)
    objective.gradient(slice(0, 2), poisons[0][:2])
    after_first = objective.omega.clone()
    objective.gradient(slice(2, 4), poisons[0][2:])
    assert not torch.equal(after_first, head.omega)
    assert torch.equal(objective.omega, after_first)
