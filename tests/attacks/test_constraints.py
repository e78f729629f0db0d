"""The sets that poisons are kept in: inside, nearest, idempotent."""

import math

import pytest
import torch
from featpoison.attacks.choices import Choice
from featpoison.attacks.constraints import Box, NoiseBall, NormBall, features_allowed
from hypothesis import given, settings
from hypothesis import strategies as st


def sets(generator):
    """Every set, with whether a point of floats is inside, up to the last bits."""
    images = torch.randint(256, (6, 3, 2, 2), generator=generator).float() / 255
    return {
        "ball": (NormBall(1.5), lambda rows: rows.flatten(1).norm(dim=1).max() <= 1.5 * (1 + 1e-6)),
        "emittable": (
            NormBall(1.5, nonnegative=True),
            lambda rows: rows.min() >= 0 and rows.norm(dim=1).max() <= 1.5 * (1 + 1e-6),
        ),
        "box": (Box(0.2, 0.7), lambda rows: rows.min() >= 0.2 - 1e-7 and rows.max() <= 0.7 + 1e-7),
        "everything": (Box(), lambda rows: True),
        "noise": (NoiseBall(0.1, images), lambda rows: rows.abs().max() <= 0.1),
    }


def points(generator, name):
    shape = (6, 12) if name in ("ball", "emittable") else (6, 3, 2, 2)
    return 2 * torch.randn(shape, generator=generator)


@pytest.mark.parametrize("name", ["ball", "emittable", "box", "everything", "noise"])
@given(seed=st.integers(0, 2**31))
@settings(deadline=None)
def test_projections_are_inside_idempotent_and_nearer_than_any_other_point_of_the_set(name, seed):
    generator = torch.Generator().manual_seed(seed)
    within, holds = sets(generator)[name]
    rows = points(generator, name)
    inside = within.project(rows)
    assert inside.shape == rows.shape
    assert holds(inside)
    torch.testing.assert_close(within.project(inside), inside, rtol=1e-6, atol=0)
    others = within.project(points(generator, name))
    shift = 1e-4 * (1 + rows.flatten(1).norm(dim=1))
    assert ((rows - inside).flatten(1).norm(dim=1) <= (rows - others).flatten(1).norm(dim=1) + shift).all()


@given(st.floats(0.1, 10), st.integers(0, 1000))
def test_a_ball_shortens_long_rows_only_and_turns_none(radius, seed):
    generator = torch.Generator().manual_seed(seed)
    rows = 5 * torch.randn(8, 4, generator=generator)
    inside = NormBall(radius).project(rows)
    long = rows.norm(dim=1) > radius
    assert torch.equal(inside[~long], rows[~long])
    torch.testing.assert_close(inside[long].norm(dim=1), torch.full((int(long.sum()),), radius))
    torch.testing.assert_close(
        inside / inside.norm(dim=1, keepdim=True), rows / rows.norm(dim=1, keepdim=True)
    )
    assert torch.equal(NormBall(math.inf).project(rows), rows)


@pytest.mark.parametrize("negative", [False, True])
def test_the_set_of_a_row_counts_in_clean_mean_norms_and_knows_what_the_encoder_emits(negative):
    clean = torch.tensor([[3.0, 4.0], [0.0, 1.0], [-0.1 if negative else 0.1, 0.0]])
    mean = (5 + 1 + 0.1) / 3

    def allowed(**choice):
        return features_allowed(Choice(method="gc-feature", **choice), clean)

    free, capped, emittable = allowed(set="free"), allowed(set=2.0), allowed(set="emittable", cap=4.0)
    assert (free.radius, free.nonnegative) == (math.inf, False)
    assert (capped.radius, capped.nonnegative) == (pytest.approx(2 * mean), False)
    assert (emittable.radius, emittable.nonnegative) == (pytest.approx(4 * mean), not negative)


def test_a_row_of_zeros_stays_where_it_is():
    assert torch.equal(NormBall(1.0).project(torch.zeros(2, 3)), torch.zeros(2, 3))


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=20), st.floats(-1, 0.4), st.floats(0.5, 2))
def test_a_box_clips_entry_by_entry(values, low, high):
    found = Box(low, high).project(torch.tensor(values, dtype=torch.float64)).tolist()
    assert found == [min(max(value, low), high) for value in values]
