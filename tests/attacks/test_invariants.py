"""Every attack against the same promises, on the same small real problem."""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from featpoison import softmax
from featpoison.attacks.base_rows import choose_initial
from featpoison.attacks.choices import Choice
from featpoison.attacks.constraints import Box, features_allowed
from featpoison.attacks.exact_bilevel import Bilevel
from featpoison.attacks.feature_matching import FeatureMatching, match
from featpoison.attacks.gc_feature import CancelingLoss, GCFeature, cancel
from featpoison.attacks.gc_input import Canceling
from featpoison.attacks.input_space import InputSpace, in_feature_space, optimise
from featpoison.attacks.mislabelled_influence import influence, most_harmful
from featpoison.attacks.mislabelled_next import next_class
from featpoison.attacks.mislabelled_random import random_wrong_labels
from featpoison.attacks.pairing import nearest_clean
from featpoison.attacks.pushed_feature import direction, pushed
from featpoison.attacks.tgda_input import TGDAInput, TotalGradient
from featpoison.common.pixels import to_pixels
from featpoison.encoders.features import extract, pull_back
from featpoison.softmax import Head
from featpoison.solvers.newton import Converged
from helpers import Forgetful

BATCH = 3  # divides neither 1 nor 7
BETA = 0.25


@dataclass(frozen=True)
class Problem:
    """Forty labelled images of three classes (or two), their features, a target head and the clean gradient
    there."""

    encoder: object
    pixels: torch.Tensor
    X: torch.Tensor
    labels: torch.Tensor
    target: Head
    G: torch.Tensor


@dataclass(frozen=True)
class Outcome:
    """What an attack made, the labels it used, and its own loss before and after."""

    poisons: torch.Tensor
    labels: torch.Tensor
    first: float
    last: float


@pytest.fixture(params=["all classes", "one class absent"])
def problem(request, encoder, images):
    labels = torch.arange(40) % 3
    if request.param == "one class absent":
        labels[labels == 1] = 0
    X = extract(images[:40], encoder)
    target = Head(
        weight=torch.from_numpy(np.random.default_rng(0).normal(size=(3, encoder.dimension))).float(),
        bias=torch.zeros(3),
    )
    return Problem(
        encoder, to_pixels(images[:40]), X, labels, target, softmax.head_gradient(X, labels, target)
    )


def gc_feature(optimizer, choice, p, n, seed):
    base = choose_initial(p.labels, n, seed)
    labels = p.labels[base]
    within = features_allowed(Choice(method="gc-feature", **choice), p.X)
    settings = GCFeature(iterations=20, optimizer=optimizer)
    found = cancel(p.X[base], CancelingLoss(labels, p.target, p.G), settings, within=within)
    assert found.features.norm(dim=1).max() <= within.radius * (1 + 1e-6)
    assert found.features.min() >= 0 or not within.nonnegative
    return Outcome(found.features, labels, found.first_loss, found.last_loss)


def feature_matching(p, n, seed):
    start = choose_initial(p.labels, n, seed)
    zeta = 1.5 * p.X[start]
    base = nearest_clean(zeta, p.X).index
    settings = FeatureMatching(steps=10, precision="float32")
    nu, _ = match(zeta, p.pixels[base], p.encoder, settings, beta=BETA)

    def loss(images):
        distance = (p.encoder(images) - zeta).square().sum() + BETA * (images - p.pixels[base]).square().sum()
        return distance.item()

    return Outcome(nu, p.labels[start], loss(p.pixels[base]), loss(nu))


def image_attack(objective_of, kept_in, p, n, seed):
    base = choose_initial(p.labels, n, seed)
    labels = p.labels[base]
    settings = InputSpace(epochs=6, step_size=0.05, batch_size=BATCH)
    found = optimise(
        p.pixels[base],
        objective_of(p, p.X[base], labels),
        settings,
        kept_in=kept_in,
        pull_back=partial(pull_back, encoder=p.encoder, dtype=torch.float32),
        within=Box() if kept_in == "free" else Box(0.0, 1.0),
        threshold=-math.inf,
        checkpoint=Forgetful(),
    )
    return Outcome(to_pixels(found.poisons), labels, found.first_value, found.last_value)


def exact_feature(choice, p, n, seed):
    base = choose_initial(p.labels, n, seed)
    labels = p.labels[base]
    settings = InputSpace(epochs=6, step_size=0.05, batch_size=n)
    ball = features_allowed(Choice(method="exact-feature", **choice), p.X)
    found = optimise(
        p.X[base],
        bilevel(p, p.X[base], labels),
        settings,
        pull_back=in_feature_space,
        within=ball,
        threshold=-math.inf,
        checkpoint=Forgetful(),
    )
    assert found.poisons.norm(dim=1).max() <= ball.radius * (1 + 1e-6) or torch.equal(
        found.poisons, p.X[base]
    )
    assert found.poisons.min() >= 0 or not ball.nonnegative
    return Outcome(found.poisons, labels, found.first_value, found.last_value)


def pushed_feature(choice, p, n, seed):
    """Up to the cap, along a straight line that has no loss of its own."""
    base = choose_initial(p.labels, n, seed)
    labels = p.labels[base]
    ball = features_allowed(Choice(method="pushed-feature", **choice), p.X)
    found = pushed(p.X[base], direction(p.X[base], labels, p.target), ball)
    assert found.norm(dim=1).max() <= ball.radius * (1 + 1e-5)
    assert found.min() >= 0 or not ball.nonnegative
    return Outcome(found, labels, 0.0, 0.0)


def copies(wrong, p, n, seed):
    """Of random images, which have no loss of their own."""
    base = choose_initial(p.labels, n, seed)
    return Outcome(p.pixels[base], wrong(p.labels[base], 3, seed), 0.0, 0.0)


def copies_by_influence(p, n, seed):
    scores = influence(p.X, p.labels, Converged(ridge=1e-3), classes=3, seed=seed, tolerance=1e-6)
    rows, labels = most_harmful(scores, n)
    return Outcome(p.pixels[rows], labels, 0.0, 0.0)


def canceling(p, features, labels):
    return Canceling(features, labels, p.target, p.G, BATCH)


def total_gradient(p, features, labels):
    return TotalGradient((p.X, p.labels), (features, labels), p.target, TGDAInput(damping=0.1, head_steps=2))


def bilevel(p, features, labels):
    return Bilevel((p.X, p.labels), (features, labels), Converged(ridge=1e-3), classes=3, tolerance=1e-6)


ATTACKS = {
    "gc-feature": partial(gc_feature, "best", {"set": "free"}),
    "gc-feature-adam": partial(gc_feature, "adam", {"set": "free"}),
    "gc-feature-emittable": partial(gc_feature, "l-bfgs", {"set": "emittable", "cap": 1.5}),
    "exact-feature": partial(exact_feature, {"set": 1.0}),
    "exact-feature-emittable": partial(exact_feature, {"set": "emittable", "cap": 1.0}),
    "exact-feature-free": partial(exact_feature, {"set": "free"}),
    "pushed-feature": partial(pushed_feature, {"set": 2.0}),
    "pushed-feature-emittable": partial(pushed_feature, {"set": "emittable", "cap": 2.0}),
    "feature-matching": feature_matching,
    "gc-input": partial(image_attack, canceling, "free"),
    "gc-input-valid": partial(image_attack, canceling, "valid"),
    "gc-input-constrained": partial(image_attack, canceling, "constrained"),
    "tgda-input": partial(image_attack, total_gradient, "free"),
    "tgda-input-constrained": partial(image_attack, total_gradient, "constrained"),
    "exact-input": partial(image_attack, bilevel, "free"),
    "exact-input-valid": partial(image_attack, bilevel, "valid"),
    "exact-input-constrained": partial(image_attack, bilevel, "constrained"),
    "mislabelled-random": partial(copies, random_wrong_labels),
    "mislabelled-next": partial(copies, lambda labels, classes, seed: next_class(labels, classes)),
    "mislabelled-influence": copies_by_influence,
}
every_attack = pytest.mark.parametrize("name", ATTACKS)


@every_attack
@pytest.mark.parametrize("n", [1, 7])
def test_budget_labels_seed_and_loss(name, n, problem):
    attack = ATTACKS[name]
    before = problem.labels.clone(), problem.pixels.clone(), problem.X.clone()
    weights = {key: value.clone() for key, value in problem.encoder.state_dict().items()}
    found = attack(problem, n, 0)
    assert len(found.poisons) == len(found.labels) == n
    assert found.poisons.isfinite().all()
    known = range(3) if name.startswith("mislabelled") else problem.labels.tolist()
    assert set(found.labels.tolist()) <= set(known)
    for now, then in zip((problem.labels, problem.pixels, problem.X), before, strict=True):
        assert torch.equal(now, then)  # the clean data is untouched
    assert all(torch.equal(value, weights[key]) for key, value in problem.encoder.state_dict().items())
    assert not problem.encoder.training
    assert torch.equal(found.poisons, attack(problem, n, 0).poisons)  # same seed, same bytes
    assert not torch.equal(found.poisons, attack(problem, n, 1).poisons)
    # Its loss moves with a head that still descends; test_input_space judges it after retraining.
    if not name.startswith("tgda"):
        assert found.last <= found.first
    if name.endswith(("constrained", "valid")):
        assert found.poisons.min() >= 0
        assert found.poisons.max() <= 1
