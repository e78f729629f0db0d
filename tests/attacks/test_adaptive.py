"""Attacks that know a defence: what they hold to is what the defence does, and what they move along is what
its victim loses."""

import numpy as np
import pytest
import torch
from featpoison import softmax
from featpoison.attacks import exact_spectral, names
from featpoison.attacks.attack import Run
from featpoison.attacks.choices import Choice
from featpoison.attacks.constraints import NormBall
from featpoison.attacks.exact_bilevel import Bilevel
from featpoison.attacks.exact_cosine import Sphere, seen
from featpoison.attacks.exact_spectral import Unremarkable, inside_the_cut
from featpoison.defences import cosine_head, spectral_signatures
from featpoison.defences.defence import Defending
from featpoison.downstream.poisons import Poisons
from featpoison.downstream.task import Task, read_task
from featpoison.softmax import Head
from featpoison.solvers.newton import Converged, train_converged
from featpoison.solvers.training_sets import TrainingSets
from helpers import Forgetful, random_problem
from hypothesis import given, settings
from hypothesis import strategies as st

VICTIM = Converged(ridge=1e-2, tolerance=1e-13)
CLASSES = 3


def task_of(N: int, d: int, seed: int = 0) -> Task:
    X, labels, _ = random_problem(2 * N, d, CLASSES, seed=seed)
    X = X.abs().float()
    return Task(X[:N], labels[:N], X[N:], labels[N:], CLASSES)


def made_by(name, files, choice, **own):
    attack = names.load(name)
    given_ = Run(
        attack.settings(epochs=4, step_size=2.0, **own),
        Choice(method=name, **choice),
        {"features": files["features"]},
        torch.device("cpu"),
        Forgetful(),
        budget=0.2,
        seed=3,
        victim=VICTIM,
    )
    made = attack.run(given_)
    poisons = Poisons(*(torch.from_numpy(made.arrays[one]) for one in ("features", "labels")))
    return made, poisons, read_task(files["features"])


def removed_poisons(task: Task, poisons: Poisons, share: float) -> int:
    settings_ = spectral_signatures.DEFENCE.settings(share=share)
    rows = spectral_signatures.run(Defending(settings_, task, poisons)).rows
    return len(poisons.labels) - int((rows >= len(task.train)).sum())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30), st.floats(0.1, 20), st.floats(0.05, 0.5))
def test_spectral_signatures_keep_every_row_of_the_set(seed, n, length, share):
    task = task_of(90, 6, seed)
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (n,), generator=generator)
    rows = length * torch.randn(n, 6, generator=generator)
    ball = NormBall(task.train.norm(dim=1).mean().item())
    found = Unremarkable(ball, task, labels, share).project(rows)
    assert found.norm(dim=1).max() <= ball.radius * (1 + 1e-6)
    assert removed_poisons(task, Poisons(found, labels), share) == 0


def test_a_row_moves_along_the_top_direction_to_the_last_clean_row_that_goes():
    task = task_of(90, 6)
    clean = task.train[task.train_labels == 1]
    rows = clean[:5] + torch.tensor([0.0, 0.0, 0.0, 0.0, 9.0]).view(5, 1)
    found = inside_the_cut(rows, clean, 0.2)
    both = np.concatenate([clean, rows]).astype(np.float64)
    centred = both - both.mean(0)
    direction = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    along = np.abs(centred @ direction)
    cut = np.sort(along[: len(clean)])[-round(0.2 * len(both))]
    shift = (found - rows).double().numpy()
    inside = along[len(clean) :] < cut
    assert 0 < inside.sum() < 5
    assert not shift[inside].any()
    across = shift - np.outer(shift @ direction, direction)
    np.testing.assert_allclose(across, 0, atol=1e-5)
    moved = np.abs((found.double().numpy() - both.mean(0)) @ direction)[~inside]
    np.testing.assert_allclose(moved, exact_spectral.MARGIN * cut, rtol=1e-5)


@pytest.mark.parametrize("choice", [{"set": 1.0}, {"set": "emittable", "cap": 1.0}, {"set": "free"}])
def test_what_exact_spectral_returns_passes_both_filters(choice, files):
    made, poisons, task = made_by("exact-spectral", files, choice, share=0.3)
    assert removed_poisons(task, poisons, 0.3) == 0
    if choice["set"] != "free":
        assert poisons.features.norm(dim=1).max() <= task.train.norm(dim=1).mean() * (1 + 1e-6)
    assert made.facts["last_value"] < made.facts["first_value"]


def test_without_a_cut_exact_spectral_is_the_plain_attack(files):
    """A share of less than half a row of a class removes nothing."""
    spectral, *_ = made_by("exact-spectral", files, {"set": 1.0}, share=0.01)
    plain, *_ = made_by("exact-feature", files, {"set": 1.0})
    bound, *_ = made_by("exact-spectral", files, {"set": 1.0}, share=0.3)
    np.testing.assert_array_equal(spectral.arrays["features"], plain.arrays["features"])
    assert not np.array_equal(bound.arrays["features"], plain.arrays["features"])


@pytest.mark.parametrize("choice", [{"set": 1.0}, {"set": 0.5}, {"set": "emittable", "cap": 2.0}])
def test_the_head_of_exact_cosine_is_that_behind_the_defence(choice, files):
    """The value that it reports is the clean loss of the victim that is trained on what the defence makes of
    the returned features."""
    made, poisons, task = made_by("exact-cosine", files, choice)
    cap = choice.get("cap", choice["set"]) * task.train.norm(dim=1).mean()
    torch.testing.assert_close(poisons.features.norm(dim=1), cap.expand(len(poisons.labels)))
    assert choice["set"] != "emittable" or poisons.features.min() >= 0
    defended = cosine_head.run(Defending(cosine_head.DEFENCE.settings(), task, poisons))
    clean, shown = defended.train[: len(task.train)], defended.train[len(task.train) :]
    sets = TrainingSets(clean, task.train_labels, shown[None], poisons.labels[None])
    omega, _ = train_converged(sets, VICTIM, classes=task.classes)
    loss = softmax.loss(clean.double(), task.train_labels, Head.from_omega(omega[0])).item()
    assert -made.facts["last_value"] == pytest.approx(loss, rel=1e-5)
    assert made.facts["last_value"] < made.facts["first_value"]


def test_the_gradient_of_exact_cosine_is_the_finite_difference_through_the_scaling():
    X, labels, _ = random_problem(64, 4, CLASSES)
    clean, z, poison_labels = X[:60], X[60:], labels[60:]
    scaled = cosine_head.normalised(clean, 2.5)

    def leader(rows):
        shown = 2.5 * rows / rows.norm(dim=1, keepdim=True)
        sets = TrainingSets(scaled, labels[:60], shown[None], poison_labels[None])
        omega, _ = train_converged(sets, VICTIM, classes=CLASSES)
        return softmax.loss(scaled, labels[:60], Head.from_omega(omega[0])).item()

    objective = Bilevel((scaled, labels[:60]), (z, poison_labels), VICTIM, classes=CLASSES, tolerance=1e-12)
    _, gradient = seen(z, lambda rows: objective.gradient(slice(0, 4), rows), scale=2.5)
    torch.testing.assert_close((gradient * z).sum(1), torch.zeros(4).double(), rtol=0, atol=1e-12)
    for row, column in [(0, 1), (2, 0), (3, 3)]:
        step = torch.zeros_like(z)
        step[row, column] = 1e-4
        difference = (leader(z + step) - leader(z - step)) / 2e-4
        assert -gradient[row, column].item() == pytest.approx(difference, rel=1e-4, abs=1e-7)


@given(st.integers(0, 10**6), st.floats(0.1, 10), st.booleans())
def test_a_sphere_keeps_directions_and_no_other_point_of_it_is_nearer(seed, radius, nonnegative):
    generator = torch.Generator().manual_seed(seed)
    sphere = Sphere(NormBall(radius, nonnegative))
    rows, others = torch.randn(2, 8, 4, generator=generator, dtype=torch.float64)
    rows[:, 0] = rows[:, 0].abs()  # so that something is left
    others[:, 0] = others[:, 0].abs()
    found = sphere.project(rows)
    torch.testing.assert_close(found.norm(dim=1), torch.full((8,), radius).double())
    torch.testing.assert_close(sphere.project(found), found)
    other = sphere.project(others)
    assert ((rows - found).norm(dim=1) <= (rows - other).norm(dim=1) + 1e-9).all()
