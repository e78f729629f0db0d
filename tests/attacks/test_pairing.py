"""Pairing against brute force."""

import pytest
import torch
from featpoison.attacks.base_rows import choose_initial
from featpoison.attacks.pairing import any_clean, nearest_clean, nearest_of_class
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(1, 60), st.integers(1, 9), st.integers(0, 10**6))
def test_nearest_is_the_brute_force_nearest(n, N, d, seed):
    generator = torch.Generator().manual_seed(seed)
    zeta, clean = torch.randn(n, d, generator=generator), torch.randn(N, d, generator=generator)
    clean = torch.cat([clean, clean[:3]])  # ties: the lowest index wins
    distance = (zeta.double()[:, None] - clean.double()).square().sum(2)
    pairs = nearest_clean(zeta, clean, rows=7, block=16)
    torch.testing.assert_close(pairs.distance, distance.min(1).values)
    assert torch.equal(pairs.index, distance.argmin(1))


def test_nearest_of_far_away_features_is_exact():
    """Far from the origin, expanding the square loses all digits in float32."""
    generator = torch.Generator().manual_seed(0)
    clean = 1000 + 0.01 * torch.randn(300, 8, generator=generator)
    zeta = clean[:40] + 0.001
    distance = (zeta.double()[:, None] - clean.double()).square().sum(2)
    assert torch.equal(nearest_clean(zeta, clean).index, distance.argmin(1))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(5, 60), st.integers(1, 9), st.integers(0, 10**6))
def test_nearest_of_its_class_is_the_brute_force_nearest_of_that_class(n, N, d, seed):
    generator = torch.Generator().manual_seed(seed)
    zeta, clean = torch.randn(n, d, generator=generator), torch.randn(N, d, generator=generator)
    clean_labels = torch.cat([torch.arange(5), torch.randint(5, (N - 5,), generator=generator)])
    labels = torch.randint(5, (n,), generator=generator)
    pairs = nearest_of_class(zeta, labels, clean, clean_labels)
    assert (pairs.index.dtype, pairs.distance.dtype) == (torch.int64, torch.float64)
    for row in range(n):
        own = [index for index in range(N) if clean_labels[index] == labels[row]]
        distance = [(zeta[row].double() - clean[index].double()).square().sum().item() for index in own]
        assert pairs.index[row].item() == own[distance.index(min(distance))]
        assert pairs.distance[row].item() == pytest.approx(min(distance))


def test_a_label_without_a_clean_row_is_an_error():
    zeta, clean = torch.zeros(3, 2), torch.zeros(4, 2)
    with pytest.raises(ValueError, match="pairing: no clean row has label 7"):
        nearest_of_class(zeta, torch.tensor([0, 7, 1]), clean, torch.tensor([0, 1, 2, 0]))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 90), st.integers(1, 40), st.integers(0, 10**6))
def test_rows_by_chance_are_spread_and_their_distance_is_told(n, N, seed):
    generator = torch.Generator().manual_seed(seed)
    zeta, clean = torch.randn(n, 3, generator=generator), torch.randn(N, 3, generator=generator)
    pairs = any_clean(zeta, clean, seed)
    assert torch.equal(pairs.index, any_clean(zeta, clean, seed).index)
    assert pairs.index.bincount(minlength=N).max() <= -(-n // N)
    torch.testing.assert_close(pairs.distance, (zeta.double() - clean[pairs.index].double()).square().sum(1))


def test_rows_by_chance_follow_the_seed_and_are_not_those_that_attacks_start_from():
    zeta, clean = torch.zeros(40, 2), torch.zeros(1000, 2)
    drawn = [any_clean(zeta, clean, seed).index for seed in range(3)]
    starts = [choose_initial(torch.zeros(1000), 40, seed) for seed in range(3)]
    sets = [frozenset(rows.tolist()) for rows in (*drawn, *starts)]
    for first in range(6):
        for second in range(first):
            assert len(sets[first] & sets[second]) < 10  # 1.6 on average
