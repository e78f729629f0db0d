"""Student's interval against scipy's and against a computation by hand."""

import numpy as np
import pytest
from featpoison.results.intervals import Interval, interval
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=12), st.sampled_from([0.8, 0.95, 0.99]))
def test_equals_scipys_interval(values, level):
    found = interval(np.array(values), level)
    error = stats.sem(values)
    low, high = (
        stats.t.interval(level, len(values) - 1, np.mean(values), error) if error else [np.mean(values)] * 2
    )
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(values), low, high), abs=1e-9)


def test_three_values_by_hand():
    """Mean 2, standard deviation 1, standard error 1 / sqrt(3); the table's quantile for two degrees of
    freedom at 97.5 % is 4.303."""
    found = interval(np.array([1.0, 2.0, 3.0]))
    assert found.mean == 2
    assert found.high - 2 == pytest.approx(4.303 / np.sqrt(3), abs=1e-3)
    assert 2 - found.low == pytest.approx(4.303 / np.sqrt(3), abs=1e-3)


def test_one_value_has_no_interval():
    assert interval(np.array([3.5])) == Interval(3.5, None, None)


def test_nineteen_of_twenty_intervals_hold_the_mean():
    generator = np.random.default_rng(0)
    intervals = [interval(generator.normal(size=4)) for _ in range(1000)]
    assert 925 <= sum(one.low <= 0 <= one.high for one in intervals) <= 975
