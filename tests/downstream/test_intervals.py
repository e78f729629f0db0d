import numpy as np
from featpoison.results.intervals import interval


def test_interval_covers_and_single_values_have_none():
    generator = np.random.default_rng(0)
    intervals = [interval(generator.normal(size=4)) for _ in range(1000)]
    hits = sum(one.low <= 0 <= one.high for one in intervals)
    assert 925 <= hits <= 975
    assert interval(np.array([3.0])) == interval(np.array([3.0]))
    assert interval(np.array([3.0])).low is None
