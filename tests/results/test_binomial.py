"""The exact interval of a share, against scipy's and against what defines it."""

import pytest
from featpoison.results.binomial import exact_interval
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats


@given(st.integers(1, 300), st.data())
def test_of_whole_numbers_it_is_that_of_clopper_and_pearson(trials, data):
    successes = data.draw(st.integers(0, trials))
    found = exact_interval(successes, trials)
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, method="exact")
    assert found.mean == successes / trials
    assert found.low == pytest.approx(expected.low, abs=1e-9)
    assert found.high == pytest.approx(expected.high, abs=1e-9)


@given(st.integers(2, 100), st.data())
def test_it_grows_with_the_successes_and_holds_the_share(trials, data):
    """Where a target counts by the share of five heads."""
    first, second = (data.draw(st.integers(0, 5 * trials)) / 5 for _ in range(2))
    assume(first < second)
    low, high = exact_interval(first, trials), exact_interval(second, trials)
    assert low.low <= high.low
    assert low.high <= high.high
    for one in (low, high):
        assert 0 <= one.low <= one.mean <= one.high <= 1


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.97])
def test_it_holds_the_true_share_as_often_as_it_says(share):
    """The probability of all outcomes whose interval holds it, exactly."""
    n = 40
    held = [k for k in range(n + 1) if exact_interval(k, n).low <= share <= exact_interval(k, n).high]
    assert sum(stats.binom.pmf(k, n, share) for k in held) >= 0.95


def test_averages_of_agreeing_and_of_independent_heads_are_covered():
    """A target that counts in part varies less than one that counts whole: over all outcomes of two heads on
    twenty targets with probability 0.4 each, the interval holds 0.4 in 95 % of the cases and more."""
    n, share = 20, 0.4
    covered = sum(
        stats.binom.pmf(k, 2 * n, share)
        for k in range(2 * n + 1)
        if exact_interval(k / 2, n).low <= share <= exact_interval(k / 2, n).high
    )
    assert covered > 0.95


@pytest.mark.parametrize(("successes", "trials"), [(-1, 3), (4, 3), (0, 0), (float("nan"), 3)])
def test_what_is_no_share_is_refused(successes, trials):
    with pytest.raises(ValueError, match=f"of {trials} trials, expected 0 to {trials}"):
        exact_interval(successes, trials)
