"""How often intervals hold the true drop, in populations whose truth is known: the crossed bootstrap and, for
comparison, Student's t over poison seeds.

A head is right about an image where its margin is positive. Margins are sums of independent normal effects:
the image's difficulty (standard deviation 1, clean and poisoned heads alike), what the poisons do to this
image, the poison seed, the victim seed, and their interactions. So the true drop is a difference of two
normal probabilities.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from featpoison.results import bootstrap
from featpoison.results.bootstrap import contrast, of_images
from scipy import stats

TEST_IMAGES = 2000  # as in the demo


@dataclass(frozen=True)
class Population:
    """Effects on margins: the mean of clean heads, the mean cost of poisons, then standard deviations."""

    mean: float
    cost: float
    image: float
    """What poisons do to an image, whatever their seed."""
    poison_image: float
    """What those of one seed do to it."""
    clean: float = 0.0
    """Of a clean head to an image."""
    poisoned: float = 0.0
    """Of a single poisoned head to an image."""
    poison: float = 0.0
    """Of a poison seed to all images."""
    victim: float = 0.0
    """Of a victim seed to all images."""

    @property
    def drop(self) -> float:
        """The true drop in points."""
        spread = [1, self.image, self.poison_image, self.poisoned, self.poison, self.victim]
        before = self.mean / np.hypot(1, self.clean)
        return 100 * (
            stats.norm.cdf(before) - stats.norm.cdf((self.mean - self.cost) / np.hypot.reduce(spread))
        )

    def sample(
        self, generator: np.random.Generator, K: int, V: int, m: int = TEST_IMAGES
    ) -> tuple[np.ndarray, np.ndarray]:
        """Which images clean heads (1, V, m) and those of K poison seeds (K, V, m) get right."""

        def effect(deviation: float, *shape: int) -> np.ndarray:
            return np.float32(deviation) * generator.standard_normal(shape, np.float32)

        difficulty = effect(1, m) + np.float32(self.mean)
        clean = difficulty + effect(self.clean, 1, V, m)
        seeds = effect(self.poison, K, 1, 1) + effect(self.victim, 1, V, 1) - np.float32(self.cost)
        both = seeds + effect(self.poison_image, K, 1, m) + effect(self.poisoned, K, V, m)
        return clean > 0, difficulty + effect(self.image, m) + both > 0


# The demo's drops were taken apart by analysis of variance over 3 poison seeds x 2 victim seeds x 2000 test
# images, in 27 result files at a budget of 3 %, for each victim. Standard deviations in points, from
# estimated variances averaged over the files:
MEASURED = {
    "sgd100": {"image": 19.0, "poison_image": 10.0, "victim_image": 6.0, "all": 6.8},
    "converged": {"image": 23.8, "poison_image": 15.8},
    # The file whose poison seeds differed most, by 0.8 points: exact-input constrained, transfer, converged.
    "differing": {"poison": 0.8, "image": 25.1, "poison_image": 23.0},
}
# The effects of poison seeds and of victim seeds on all images together are too small to be told from zero:
# the variances are -0.06^2 and -0.05^2 for sgd100, +0.08^2 for converged. Below they are 0.08 points, since a
# margin of 0.01 is worth 0.38 points. The other effects on margins give the standard deviations above, as the
# first test says.
POPULATIONS = {
    "sgd100": Population(0.33, 0.03, 0.163, 0.065, clean=0.0168, poisoned=0.0217, poison=0.002, victim=0.002),
    "converged": Population(0.30, 0.03, 0.243, 0.118, poison=0.002),
    "differing": Population(0.12, 0.05, 0.285, 0.252, poison=0.0215),
}


@pytest.mark.parametrize("name", MEASURED)
def test_populations_have_the_measured_spread(name):
    V = 2 if name == "sgd100" else 1
    clean, poisoned = POPULATIONS[name].sample(np.random.default_rng(0), 40, V, 20_000)
    found = components(100.0 * (clean.astype(np.float32) - poisoned))
    for source, expected in MEASURED[name].items():
        assert found[source] == pytest.approx(expected, rel=0.25 if source == "poison" else 0.06), source


def components(loss: np.ndarray) -> dict[str, float]:
    """Standard deviations of the effects in (K, V, m), by the mean squares of a crossed design; negative
    estimates are 0."""
    K, V, m = loss.shape
    sizes, mean = dict(zip("kvm", loss.shape, strict=True)), {}
    for kept in ("", "k", "v", "m", "kv", "km", "vm", "kvm"):
        gone = tuple(axis for axis, name in enumerate("kvm") if name not in kept)
        mean[kept] = loss.mean(gone, keepdims=True, dtype=np.float64)
    effects = {
        "k": mean["k"] - mean[""],
        "m": mean["m"] - mean[""],
        "km": mean["km"] - mean["k"] - mean["m"] + mean[""],
        "vm": mean["vm"] - mean["v"] - mean["m"] + mean[""],
        "kvm": loss - mean["kv"] - mean["km"] - mean["vm"] + mean["k"] + mean["v"] + mean["m"] - mean[""],
    }
    square = {}
    for name, effect in effects.items():
        freedom = np.prod([sizes[one] - 1 for one in name])
        square[name] = (effect**2).sum() * loss.size / effect.size / freedom if freedom else 0.0
    variances = {
        "poison": (square["k"] - square["km"]) / (V * m),  # kv is 0 here
        "image": (square["m"] - square["km"] - square["vm"] + square["kvm"]) / (K * V),
        "poison_image": (square["km"] - square["kvm"]) / V,
        "victim_image": (square["vm"] - square["kvm"]) / K,
        "all": square["kvm"],
    }
    return {name: float(np.sqrt(max(variance, 0))) for name, variance in variances.items()}


def coverage(population: Population, K: int, V: int, runs: int) -> tuple[float, float]:
    """The shares of intervals that hold the true drop: of the crossed bootstrap, and of Student's t over
    the K poison seeds."""
    generator, truth = np.random.default_rng((K, V, runs)), population.drop
    crossed = student = 0
    for run in range(runs):
        sample = of_images(*population.sample(generator, K, V), run % 8)  # draws of many streams
        found = contrast(sample)
        crossed += found.low <= truth <= found.high
        seeds = sample.means[0]
        half = stats.t.ppf(0.975, K - 1) * stats.sem(seeds)
        student += abs(seeds.mean() - truth) <= half
    return crossed / runs, student / runs


@pytest.fixture
def _fewer_draws(monkeypatch):
    monkeypatch.setattr(bootstrap, "DRAWS", 300)
    bootstrap.weights.cache_clear()
    yield
    bootstrap.weights.cache_clear()


CASES = [
    ("sgd100", 2, 2),
    ("sgd100", 3, 2),
    ("sgd100", 2, 5),
    ("sgd100", 3, 5),
    ("converged", 2, 1),
    ("converged", 3, 1),
    ("differing", 2, 1),
    ("differing", 3, 1),
]


@pytest.mark.usefixtures("_fewer_draws")
@pytest.mark.parametrize(("name", "K", "V"), [("sgd100", 3, 2), ("sgd100", 2, 2), ("differing", 2, 1)])
def test_intervals_hold_the_true_drop(name, K, V):
    """Of 400 intervals: at a coverage of 95 % the share varies by 1.1 %."""
    crossed, student = coverage(POPULATIONS[name], K, V, 400)
    assert crossed >= 0.93
    if K == 3:
        assert student < 0.75


@pytest.mark.slow
@pytest.mark.usefixtures("_fewer_draws")
@pytest.mark.parametrize(("name", "K", "V"), CASES)
def test_intervals_hold_the_true_drop_in_all_cases(name, K, V):
    """Of 3000 intervals: at a coverage of 95 % the share varies by 0.4 %, at 70 % by 0.8 %.

    Student's interval over three poison seeds is far too narrow where test images vary most; over two its
    quantile is 12.7, so that it is much wider and still covers less than it says.
    """
    crossed, student = coverage(POPULATIONS[name], K, V, 3000)
    print(f"{name} {K}x{V}: crossed bootstrap {crossed:.3f}, Student's t {student:.3f}")
    assert 0.93 <= crossed <= 0.995
    if name != "differing":
        assert student < (0.75 if K == 3 else 0.93)


@pytest.mark.slow
@pytest.mark.usefixtures("_fewer_draws")
def test_two_seeds_are_too_few_where_seeds_differ_much():
    """What `bootstrap` says of its limits: a spread of 2 points between poison seeds, a margin of 0.0537,
    beside half a point that test images contribute."""
    differing = replace(POPULATIONS["sgd100"], poison=0.0537)
    (two, _), (three, _) = (coverage(differing, K, 2, 3000) for K in (2, 3))
    assert 0.86 < two < 0.9
    assert 0.91 < three < 0.94
