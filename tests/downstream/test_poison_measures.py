"""Measures of poisoned sets in feature space and of their images."""

import numpy as np
import pytest
import torch
from featpoison import softmax
from featpoison.downstream.poison_measures import feature_measures, image_measures
from featpoison.downstream.poisons import Poisons
from featpoison.downstream.task import Task
from featpoison.softmax import Head
from helpers import random_problem
from oracles import slow


def empty() -> Poisons:
    return Poisons(torch.empty(0, 5), torch.empty(0, dtype=torch.int64))


def test_residual_is_relative_to_the_clean_gradient():
    X, labels, head = random_problem(30, 5, 3)
    task = Task(X, labels, X, labels, 3)
    twin = Head(weight=-head.weight, bias=-head.bias)
    own = softmax.head_gradient(X, labels, twin)
    measures = feature_measures(task, [Poisons(X, labels)], [(twin, -own)])
    assert measures["residual"][0] == pytest.approx(0, abs=1e-9)


def test_feature_measures_of_several_sets_by_hand():
    X, labels, head = random_problem(30, 5, 3)
    task = Task(X, labels, X, labels, 3)
    G = slow.head_gradient(X, labels, head)
    distance = torch.tensor([1.0, 2.0, 6.0])
    base = torch.tensor([4, 7, 4])
    given = labels[base].clone()
    given[1] = (given[1] + 1) % 3
    sets = [
        Poisons(2 * X[:3], given, base=base, distance=distance),
        Poisons(X[:0], labels[:0], base=base[:0]),
        Poisons(X, labels),
    ]
    other = random_problem(1, 5, 3, seed=1)[2]
    H = slow.head_gradient(X, labels, other)
    measures = feature_measures(
        task, sets, [(other, H), (head, G), (head, G)]
    )  # each has a target of its own
    first = H + slow.head_gradient(2 * X[:3], given, other)
    np.testing.assert_allclose(measures["residual"], [first.norm() / H.norm(), 1, 2])
    assert measures["poisons"].tolist() == [3, 0, 30]
    norms = np.linalg.norm(X.numpy(), axis=1)
    np.testing.assert_allclose(measures["feature_magnitude_ratio"], [2 * norms[:3].mean() / norms.mean(), 1])
    assert measures["feature_distance"].tolist() == [3]
    negative = [(X[:3] < 0).double().mean().item(), (X < 0).double().mean().item()]
    np.testing.assert_allclose(measures["negative_share"], negative)
    assert measures["distinct_bases"].tolist() == [2]  # of the only set with poisons that names its base rows
    assert measures["dirty_labels"].tolist() == [1]


def test_an_attack_without_a_target_has_no_residual():
    X, labels, _ = random_problem(30, 5, 3)
    measures = feature_measures(Task(X, labels, X, labels, 3), [Poisons(X, labels)] * 2, [])
    assert measures.keys() == {"poisons", "feature_magnitude_ratio", "negative_share"}


def test_targets_that_are_not_one_for_each_set_are_an_error():
    X, labels, head = random_problem(30, 5, 3)
    with pytest.raises(ValueError, match="zip"):
        feature_measures(Task(X, labels, X, labels, 3), [Poisons(X, labels)] * 2, [(head, torch.ones(3, 6))])


def test_what_applies_to_no_set_is_left_out():
    X, labels, head = random_problem(30, 5, 3, dtype=torch.float32)
    task = Task(X, labels, X, labels, 3)
    measures = feature_measures(task, [empty()], [(head, torch.ones(3, 6))])
    assert {name: values.tolist() for name, values in measures.items()} == {"residual": [1], "poisons": [0]}
    assert image_measures([empty(), Poisons(X, labels)], lambda rows: X, 1.0) == {}


def test_image_measures_by_hand():
    """Constant images, which have neither variance nor covariance: their SSIM is the luminance term alone."""
    clean = torch.full((3, 3, 16, 16), 0.5)
    clean[0] = 0.8
    images = clean[[1, 2]].clone()
    images[0] += 0.1
    some = Poisons(torch.zeros(2, 5), torch.zeros(2), images, torch.tensor([1, 2]))
    other = Poisons(torch.zeros(1, 5), torch.zeros(1), clean[:1], torch.tensor([0]))
    none = Poisons(torch.zeros(0, 5), torch.zeros(0), images[:0], torch.tensor([], dtype=torch.int64))
    measures = image_measures([some, none, other], lambda rows: clean[rows], 0.8)
    luminance = (2 * 0.6 * 0.5 + 0.01**2) / (0.6**2 + 0.5**2 + 0.01**2)
    assert measures["psnr"] == pytest.approx([(20 + 100) / 2, 100])  # 10 log10(1 / 0.1^2); equal images
    assert measures["pixel_ratio"] == pytest.approx([(0.6 + 0.5) / 2 / 0.8, 1])
    assert measures["ssim"] == pytest.approx([(luminance + 1) / 2, 1], abs=1e-6)
