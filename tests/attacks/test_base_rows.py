"""Which clean rows poisons start from, and how many."""

import pytest
import torch
from featpoison.attacks.base_rows import choose_initial, poison_count
from hypothesis import given
from hypothesis import strategies as st


def test_initial_rows_are_balanced_over_repeats():
    labels = torch.arange(10)
    counts = torch.bincount(choose_initial(labels, 25, seed=1), minlength=10)
    assert counts.min() == 2
    assert counts.max() == 3
    assert not torch.equal(choose_initial(labels, 5, seed=1), choose_initial(labels, 5, seed=2))


@given(st.integers(1, 200), st.integers(1, 700), st.integers(0, 2**31))
def test_every_row_is_taken_equally_often_up_to_one(rows, count, seed):
    chosen = choose_initial(torch.zeros(rows, dtype=torch.int64), count, seed)
    counts = torch.bincount(chosen, minlength=rows)
    assert len(counts) == rows
    assert (counts.min().item(), counts.max().item()) == (count // rows, -(-count // rows))
    assert torch.equal(chosen, choose_initial(torch.zeros(rows, dtype=torch.int64), count, seed))


@pytest.mark.parametrize(
    ("budget", "clean", "expected"),
    [(0.03, 5000, 150), (0.03, 50_000, 1500), (1.0, 60, 60), (2.5, 10, 25), (0.1, 15, 2), (0.016, 60, 1)],
)
def test_the_number_of_poisons_is_the_rounded_share(budget, clean, expected):
    """0.1 of 15 is 1.5, which goes to the even 2; 0.016 of 60 is 0.96."""
    assert poison_count(budget, clean) == expected


@pytest.mark.parametrize(("budget", "clean"), [(0.001, 400), (0.5, 1), (0.0, 100)])
def test_less_than_one_poison_is_an_error(budget, clean):
    with pytest.raises(
        ValueError, match=f"eps_d = {budget:g} of {clean} training rows is less than one poison"
    ):
        poison_count(budget, clean)
