"""The crossed bootstrap: estimates, pairing, widths and coverage of known drops."""

import numpy as np
import pytest
from featpoison.results import bootstrap
from featpoison.results.bootstrap import contrast, of_accuracies, of_images, pairable
from scipy import stats


def tables(generator, K, V, m, *, drop, seed_spread=0.0, victim_spread=0.0):
    """Correctness of clean (1, V, m) and poisoned (K, V, m) heads: images differ in difficulty, seeds in how
    much they cost."""
    difficulty = generator.normal(0, 0.2, m)
    victims = generator.normal(0, victim_spread, (1, V, 1))
    cost = drop + generator.normal(0, seed_spread, (K, 1, 1))
    luck = generator.random((1, V, m))
    return luck < 0.7 + difficulty + victims, luck < 0.7 + difficulty + victims - cost


def test_estimate_and_pairing():
    generator = np.random.default_rng(0)
    clean, poisoned = tables(generator, 3, 4, 300, drop=0.1)
    sample = of_images(clean, poisoned, 0)
    assert sample.estimate == pytest.approx(100 * (clean.mean() - poisoned.mean()))
    assert np.mean(sample.draws) == pytest.approx(sample.estimate, abs=0.2)
    same = contrast(sample, sample)
    assert (same.mean, same.low, same.high) == (0, 0, 0)
    apart = contrast(sample, of_images(clean, poisoned, 1), paired=False)
    assert apart.low < -1 < 1 < apart.high
    with pytest.raises(ValueError, match="3 and 2 seeds"):
        contrast(sample, of_images(clean, poisoned[:2], 0))


def test_same_arguments_same_bits():
    clean, poisoned = tables(np.random.default_rng(1), 3, 5, 200, drop=0.05, seed_spread=0.02)
    first = contrast(of_images(clean, poisoned, 7))
    bootstrap.weights.cache_clear()
    assert contrast(of_images(clean, poisoned, 7)) == first
    assert contrast(of_images(clean, poisoned, 8)) != first


def test_images_alone_give_the_analytic_interval():
    """One seed of each kind: the interval of a mean over m images, normal for large m."""
    clean, poisoned = tables(np.random.default_rng(2), 1, 1, 4000, drop=0.08)
    found = contrast(of_images(clean, poisoned, 0))
    values = 100.0 * (clean.astype(float) - poisoned).ravel()
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_seeds_alone_give_students_interval():
    """Every image of a seed alike; the draws' standard deviation has an error of 1.6 %."""
    share = np.random.default_rng(3).random(25) < 0.5
    poisoned = np.broadcast_to(share[:, None, None], (25, 1, 50))
    found, drops = contrast(of_images(np.ones((1, 1, 50), bool), poisoned, 0)), 100.0 * (1 - share)
    low, high = stats.t.interval(0.95, 24, drops.mean(), stats.sem(drops))
    assert found.mean == pytest.approx(drops.mean())
    assert found.low == pytest.approx(low, abs=0.05 * (high - low))
    assert found.high == pytest.approx(high, abs=0.05 * (high - low))


def test_two_seeds_have_students_interval_too():
    """A percentile of the draws would end at the seeds, one standard error out: too short by half."""
    poisoned = np.zeros((2, 1, 50), bool)
    poisoned[1, :, :] = True
    found = contrast(of_images(np.ones((1, 1, 50), bool), poisoned, 0))
    low, high = stats.t.interval(0.95, 1, 50, 50)
    assert (found.mean, found.low, found.high) == pytest.approx((50, low, high), rel=0.05)


@pytest.mark.parametrize(("spread", "lowest_plain", "highest_plain"), [(0.0, 0.93, 1.0), (0.1, 0.0, 0.9)])
def test_coverage_of_a_known_drop(monkeypatch, spread, lowest_plain, highest_plain):
    """With three seeds 95 % intervals hold the truth about as often as they say; the plain percentile
    interval does not where seeds differ."""
    monkeypatch.setattr(bootstrap, "DRAWS", 400)
    bootstrap.weights.cache_clear()
    generator = np.random.default_rng(4)
    covered, plain, runs, truth = 0, 0, 200, 100 * _true_drop(spread)
    for run in range(runs):
        sample = of_images(*tables(generator, 3, 2, 250, drop=0.1, seed_spread=spread), run % 4)
        found, ends = contrast(sample), np.quantile(sample.draws, [0.025, 0.975])
        covered += found.low <= truth <= found.high
        plain += ends[0] <= truth <= ends[1]
    bootstrap.weights.cache_clear()
    assert 0.91 <= covered / runs <= 0.995
    assert lowest_plain <= plain / runs <= highest_plain


def _true_drop(spread: float) -> float:
    """E[P(luck < q) - P(luck < q - cost)], luck uniform: probabilities are clipped to [0, 1]."""
    at = lambda mean, deviation: np.trapezoid(  # noqa: E731
        np.clip(mean + deviation * GRID, 0, 1) * stats.norm.pdf(GRID), GRID
    )
    return at(0.7, 0.2) - at(0.6, np.hypot(0.2, spread))


GRID = np.linspace(-8, 8, 4001)


def test_accuracies_alone():
    clean, poisoned = np.array([[0.9]]), np.array([[0.6]])
    found = contrast(of_accuracies(clean, poisoned, 1000, 0))
    half = 196 * np.sqrt((0.9 * 0.1 + 0.6 * 0.4) / 1000)
    assert found.mean == pytest.approx(30)
    assert found.low == pytest.approx(30 - half, abs=0.15 * half)
    assert found.high == pytest.approx(30 + half, abs=0.15 * half)
    seeds = contrast(of_accuracies(clean, np.array([[0.5], [0.6], [0.7]]), 1000, 0))
    assert seeds.high - seeds.low > 4 * half


def test_samples_with_other_numbers_of_seeds_are_not_paired():
    right = np.ones((5, 2, 30), dtype=bool)
    two, five, one = (of_images(right[:1], ~right[:count], 0) for count in (2, 5, 1))
    assert pairable(two, one)
    assert pairable(five, one)
    assert not pairable(two, five)
    with pytest.raises(ValueError, match="2 and 5 seeds"):
        contrast(two, five)
    assert contrast(two, five, paired=False).mean == 0
