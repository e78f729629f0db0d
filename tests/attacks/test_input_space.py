"""Attacks in input space and the exact bilevel attack: gradients against oracles, the loop against its promises."""

import copy
import math

import pytest
import torch
from featpoison import softmax
from featpoison.attacks.constraints import Box, EightBit
from featpoison.attacks.exact_bilevel import Bilevel
from featpoison.attacks.gc_input import Canceling, GCInput
from featpoison.attacks.input_space import InputSpace, in_feature_space, optimise
from featpoison.attacks.tgda_input import TGDAInput, TotalGradient, solve_damped, split
from featpoison.common.pixels import to_pixels
from featpoison.encoders.features import pull_back
from featpoison.records.checkpoints import Checkpoint
from featpoison.softmax import Head
from featpoison.solvers.newton import Converged, train_converged
from featpoison.solvers.training_sets import TrainingSets
from helpers import random_problem
from oracles import slow

CPU64 = {"dtype": torch.float64}


class Forgetful:
    """A checkpoint that keeps nothing."""

    def load(self):
        return None

    def save(self, tensors, **facts):
        pass


def run(base, objective, settings, *, pull=in_feature_space, within=None, threshold=-math.inf, checkpoint=None):
    return optimise(base, objective, settings, pull_back=pull, within=within or Box(), threshold=threshold, checkpoint=checkpoint or Forgetful())


# Encoder


def test_pull_back_is_the_jacobians_transpose(encoder, images):
    f = copy.deepcopy(encoder).double()
    pixels, v = to_pixels(images[:3]).double(), torch.randn(3, f.dimension, **CPU64)
    features, gradient = pull_back(pixels, lambda z: v * z, f, torch.float64)
    leaf = pixels.clone().requires_grad_(True)
    torch.testing.assert_close(features, f(pixels))
    (oracle,) = torch.autograd.grad((f(leaf) * (v * features)).sum(), leaf)
    torch.testing.assert_close(gradient, oracle)


# GC-input


@pytest.mark.parametrize("batch", [1, 3, 7, 20])
def test_running_residual_is_the_full_batch_gradient(batch):
    """After each pass, for the rows that the pass found; batches that do not divide n included."""
    X, labels, head = random_problem(7, 5, 4)
    G = torch.randn(4, 6, **CPU64)
    objective, rows = Canceling(X, labels, head, G, batch), X.clone()
    for _ in range(3):
        found, rows = rows, rows.clone()
        for start in range(0, 7, batch):
            block = slice(start, min(start + batch, 7))
            rows[block] -= 0.1 * objective.gradient(block, found[block])
        exact = G + slow.head_gradient(found, labels, head)
        torch.testing.assert_close(objective.residual, exact, rtol=1e-12, atol=1e-12)
        assert objective.value() == pytest.approx(0.5 * exact.square().sum().item())


def test_gc_input_gradient_is_the_double_backward_through_the_encoder(encoder, images):
    f = copy.deepcopy(encoder).double()
    pixels, labels = to_pixels(images[:5]).double(), torch.arange(5) % 3
    head = random_problem(1, f.dimension, 3)[2]
    G = torch.randn(3, f.dimension + 1, **CPU64)
    objective = Canceling(f(pixels), labels, head, G, 5)
    _, ours = pull_back(pixels, lambda z: objective.gradient(slice(0, 5), z), f, torch.float64)
    leaf = pixels.clone().requires_grad_(True)
    residual = G + slow.head_gradient(f(leaf), labels, head, create_graph=True)
    (oracle,) = torch.autograd.grad(0.5 * residual.square().sum(), leaf)
    torch.testing.assert_close(ours, oracle, rtol=1e-8, atol=1e-10)


def test_gc_input_stops_at_the_threshold():
    X, labels, head = random_problem(6, 5, 4)
    goal = -softmax.head_gradient(X + 0.1, labels, head)
    found = run(X, Canceling(X, labels, head, goal, 6), GCInput(epochs=3000, step_size=0.05, batch_size=6), threshold=1e-4)
    assert found.last_value < 1e-4
    assert found.epochs < 3000


# TGDA


def tgda_problem(n=4, N=60, d=4, classes=3, **changes):
    X, labels, head = random_problem(N + n, d, classes)
    settings = TGDAInput(**{"epochs": 3, "damping": 1e-3, "tolerance": 1e-12, "head_steps": 1} | changes)
    return (X[:N], labels[:N]), (X[N:], labels[N:]), head, settings


def test_total_gradient_is_the_finite_difference_of_the_retrained_loss():
    """At a head converged with ridge = damping, D l1 is the exact derivative of the validation loss after retraining."""
    clean, poisons, _, settings = tgda_problem(damping=0.05)
    ridge = Converged(ridge=0.05, tolerance=1e-13)
    kept, held_out = split(60, settings)

    def retrained(z):
        mixture = TrainingSets(clean[0][kept], clean[1][kept], z[None], poisons[1][None])
        return Head.from_omega(train_converged(mixture, ridge, classes=3)[0][0])

    def validation(z):
        return softmax.loss(clean[0][held_out], clean[1][held_out], retrained(z)).item()

    objective = TotalGradient(clean, poisons, retrained(poisons[0]), settings)
    objective._descend = lambda: None  # the head stays where it was solved to
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


def test_split_is_a_partition():
    kept, held_out = split(50, TGDAInput())
    assert len(held_out) == 15
    assert torch.equal(torch.cat([kept, held_out]).sort().values, torch.arange(50))


# Exact bilevel


def test_bilevel_gradient_is_the_finite_difference_of_the_leaders_loss():
    clean, poisons, *_ = tgda_problem()
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


# The loop


def objectives():
    clean, poisons, head, settings = tgda_problem(tolerance=1e-6)
    G = softmax.head_gradient(*clean, head)
    return {
        "gc": lambda: Canceling(*poisons, head, G, 4),
        "tgda": lambda: TotalGradient(clean, poisons, head, settings),
        "exact": lambda: Bilevel(clean, poisons, Converged(ridge=1e-3), classes=3, tolerance=1e-8),
    }, poisons[0]


every_objective = pytest.mark.parametrize("name", ["gc", "tgda", "exact"])


@every_objective
def test_a_killed_attack_resumes_bit_for_bit(name, tmp_path):
    makers, base = objectives()
    settings = InputSpace(epochs=50, step_size=0.05, batch_size=4)
    whole = run(base, makers[name](), settings, checkpoint=Checkpoint(tmp_path / "whole", {}))

    class Killed(Exception):
        pass

    class Fragile(Checkpoint):
        def save(self, tensors, **facts):
            super().save(tensors, **facts)
            if facts["epoch"] == 40:
                raise Killed

    with pytest.raises(Killed):
        run(base, makers[name](), settings, checkpoint=Fragile(tmp_path / "cut", {}))
    resumed = run(base, makers[name](), settings, checkpoint=Checkpoint(tmp_path / "cut", {}))
    assert torch.equal(resumed.poisons, whole.poisons)
    assert resumed == type(resumed)(resumed.poisons, whole.first_value, whole.last_value, whole.epochs)


@pytest.mark.parametrize("name", ["gc", "exact"])
@pytest.mark.parametrize("batch", [4, 3, 1])
def test_the_objective_never_ends_above_its_start(name, batch):
    makers, base = objectives()
    objective = makers[name]()
    if name == "gc":
        objective = Canceling(base, objective.labels, objective.target, objective.clean_gradient, batch)
    found = run(base, objective, InputSpace(epochs=40, step_size=0.05, batch_size=batch))
    assert found.last_value < found.first_value


def test_tgda_raises_the_held_out_loss_of_a_retrained_head():
    clean, poisons, head, settings = tgda_problem(n=8, head_steps=20)
    kept, held_out = split(60, settings)

    def held_out_loss(z):
        omega, _ = train_converged(TrainingSets(clean[0][kept], clean[1][kept], z[None], poisons[1][None]), Converged(ridge=1e-3), classes=3)
        return softmax.loss(clean[0][held_out], clean[1][held_out], Head.from_omega(omega[0])).item()

    found = run(poisons[0], TotalGradient(clean, poisons, head, settings), InputSpace(epochs=60, step_size=0.1, batch_size=8))
    assert held_out_loss(found.poisons) > held_out_loss(poisons[0]) + 1


def test_constrained_images_stay_in_range_and_near(encoder, images):
    base, labels = to_pixels(images[:6]), torch.arange(6) % 3
    head = random_problem(1, encoder.dimension, 3, dtype=torch.float32)[2]
    G = 50 * torch.randn(3, encoder.dimension + 1)

    def pull(pixels, gradient):
        return pull_back(pixels, gradient, encoder, torch.float32)

    def attack(constrained, penalty=1.0):
        settings = InputSpace(constrained=constrained, penalty=penalty, epochs=15, step_size=0.2, batch_size=4)
        within = Box(0.0, 1.0) if constrained else Box()
        return run(base, Canceling(encoder(base), labels, head, G, 4), settings, pull=pull, within=within).poisons

    free, bound, near = attack(False), attack(True), attack(True, penalty=1e6)
    assert free.min() < 0 or free.max() > 1
    assert bound.min() >= 0
    assert bound.max() <= 1
    assert (near - base).norm() < 0.1 * (bound - base).norm()


def test_a_step_size_of_their_own_counts_for_constrained_poisons_only():
    def moved(**settings):
        makers, base = objectives()
        return (run(base, makers["gc"](), InputSpace(epochs=1, penalty=0.0, batch_size=4, **settings)).poisons - base).abs().max().item()

    assert moved(step_size=0.1) == moved(step_size=0.1, constrained_step_size=0.01) == pytest.approx(0.1, rel=1e-3)
    assert moved(step_size=0.1, constrained=True) == pytest.approx(0.1, rel=1e-3)
    assert moved(step_size=0.1, constrained=True, constrained_step_size=0.01) == pytest.approx(0.01, rel=1e-3)


def test_not_a_number_names_epoch_and_batch():
    makers, base = objectives()
    objective = makers["gc"]()
    calls = []

    def broken(block, features):
        calls.append(block)
        return features * (math.nan if len(calls) == 4 else 0)

    objective.gradient = broken
    with pytest.raises(FloatingPointError, match="epoch 1, batch 1"):
        run(base, objective, InputSpace(epochs=5, batch_size=2))


def test_eight_bits_are_what_a_png_holds():
    pixels = torch.tensor([-0.3, 0.0, 0.5, 0.5 + 1 / 600, 1.7]).view(1, 1, 1, 5).expand(1, 3, 1, 5)
    rounded = EightBit().project(pixels)
    assert torch.equal(rounded, (rounded * 255).round().to(torch.uint8).float() / 255)
    assert rounded[0, 0, 0].tolist() == pytest.approx([0, 0, 128 / 255, 128 / 255, 1])
    assert torch.equal(EightBit().project(rounded), rounded)
