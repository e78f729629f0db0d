"""Defences against long features: norm filter, norm clipping, normalised features."""

import numpy as np
import pytest
import torch
from featpoison.defences import names
from featpoison.defences.cosine_head import normalised
from featpoison.defences.lengths import clipped, longest_usual
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import median_abs_deviation

NORMS = st.lists(st.floats(0.125, 8, width=32), min_size=3, max_size=20)


def of_norms(values) -> torch.Tensor:
    directions = torch.nn.functional.normalize(torch.arange(3.0 * len(values)).reshape(-1, 3).cos(), dim=1)
    return directions * torch.tensor(values)[:, None]


@given(NORMS, st.floats(0.5, 4))
def test_the_longest_usual_norm_is_the_robust_one(values, deviations):
    features = of_norms(values)
    norms = np.linalg.norm(features.double().numpy(), axis=1)
    expected = np.median(norms) + deviations * median_abs_deviation(norms, scale="normal")
    # scale="normal" is 1 / 0.67449
    assert longest_usual(features, deviations) == pytest.approx(expected, rel=1e-4)


def test_fewer_than_half_of_the_rows_cannot_move_it_far(task):
    usual = longest_usual(task.train, 3.0)
    poisons = 1e6 * task.train[:50]  # of 170 rows
    assert longest_usual(torch.cat([task.train, poisons]), 3.0) < 2 * usual


def test_long_rows_go_and_usual_ones_stay(defending, long_poisons):
    given_ = defending("norm-filter", *long_poisons)
    found = names.load("norm-filter").run(given_)
    expected = [i for i, row in enumerate(given_.features) if row.double().norm() <= found.facts["radius"]]
    assert found.rows.tolist() == expected
    assert max(expected) < 120 <= len(expected) + 10


@given(NORMS, st.floats(0.25, 4))
def test_clipping_projects_to_the_ball(values, radius):
    features = of_norms(values)
    found = clipped(features, radius)
    expected = [row * min(1, radius / norm) for row, norm in zip(features, values, strict=True)]
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(clipped(found, radius), found)


def test_training_and_test_rows_are_clipped_at_one_radius(defending, long_poisons, task):
    found = names.load("norm-clipping").run(defending("norm-clipping", *long_poisons))
    radius = found.facts["radius"]
    assert found.rows is None
    torch.testing.assert_close(found.train[120:].norm(dim=1), torch.full((12,), radius))
    torch.testing.assert_close(found.test, clipped(task.test, radius))


def test_a_cosine_head_sees_directions_alone(defending, long_poisons, task):
    features, labels = long_poisons
    found, longer = (
        names.load("cosine-head").run(defending("cosine-head", scale * features, labels)) for scale in (1, 2)
    )
    torch.testing.assert_close(found.train, longer.train)
    torch.testing.assert_close(found.train.norm(dim=1), torch.full((132,), found.facts["scale"]))
    cosines = torch.nn.functional.cosine_similarity(found.test, task.test)
    torch.testing.assert_close(cosines, torch.ones(60))


def test_rows_of_zeros_stay():
    nothing = torch.zeros(2, 3)
    assert torch.equal(normalised(nothing, 2.0), nothing)
    assert torch.equal(clipped(nothing, 2.0), nothing)
