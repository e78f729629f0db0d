"""Intervals of accuracy drops when poison seeds, victim seeds and test images are all samples: the crossed
(pigeonhole) bootstrap.

A drop is a mean over a table, poison seeds x victim seeds x test images; each of the three is resampled on
its own, the same draws for everything that is compared pair by pair (Owen, 2007,
https://arxiv.org/abs/0712.1111). Of n seeds or images n - 1 are drawn, with replacement, so that the
bootstrap's variance is the usual unbiased estimate (McCarthy and Snowden, 1985).

The interval is the estimate plus or minus the draws' standard deviation times Student's quantile, with the
degrees of freedom of Satterthwaite's formula over the three sources of variance. Percentiles of the draws
would be too narrow where seeds are few: of two seeds one is drawn, so that the draws end at the seeds, which
lie one standard error from their mean and not two.

How often it covers. At the demo's size and the spread that was measured there, 96 % to 98 % of the time, with
two poison seeds as with three (tests/results/test_coverage.py; resampled crosswise, what belongs to single
heads counts more than once, which is on the safe side). Two seeds cannot promise that for any spread: if by
chance they agree, nothing says that others would not. Where seeds differed by 2 points beside half a point
that test images contributed, 88 % of the intervals held the truth with two seeds and 93 % with three.

Pairs. The clean and the poisoned victims of a victim seed start from the same head, and no more is shared:
the order of rows is drawn for N + n rows with n poisons and for N rows without (`heads.train_sgd`). Little is
left of the start after 100 epochs, so pairing these two by seed hardly narrows an interval; it is right
whether their luck is correlated or not. What narrows it are the test images, which both see. Victims of two
attacks with equally many poisons share start and order, and so do those of the frozen variant of EMN, which
adds no rows.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

DRAWS = 2000
CHUNK = 250
STREAM = 0
"""The stream of every printed drop; the other side of an unpaired comparison draws from the next one."""
LEVEL = 0.95
POISON_SEEDS, VICTIM_SEEDS, IMAGES, CLEAN_IMAGES = range(4)


@dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Sample:
    """A drop in points: its estimate, its bootstrap draws (DRAWS,), and where its variance comes from.

    `means`: the drop of each poison seed, of each victim seed, of each test image. `independent`: variances
    and degrees of freedom of what cannot be paired with another sample.
    """

    clean: float
    """Accuracy without poisons, percent."""
    poisoned: float
    """Accuracy with poisons, percent."""
    draws: np.ndarray
    means: tuple[np.ndarray, ...]
    independent: tuple[tuple[float, int], ...] = ()

    @property
    def estimate(self) -> float:
        """The drop, points."""
        return self.clean - self.poisoned


@lru_cache(maxsize=64)
def weights(stream: int, factor: int, count: int) -> np.ndarray:
    """How often each of `count` things is drawn, uint8 (DRAWS, count): equal arguments, equal draws."""
    if count == 1:
        return np.ones((DRAWS, 1), np.uint8)
    generator = np.random.default_rng((stream, factor))
    rows = (np.bincount(generator.integers(count, size=count - 1), minlength=count) for _ in range(DRAWS))
    return np.stack([row.astype(np.uint8) for row in rows])


def of_images(clean: np.ndarray, poisoned: np.ndarray, stream: int) -> Sample:
    """The drop from `clean` (1, V, m) to `poisoned` (K, V, m), booleans: which test image is classified
    correctly. V may be 1 in one of them."""
    loss = clean.astype(np.float32) - poisoned  # (K, V, m), of -1, 0, 1
    K, V, m = loss.shape
    drawn = weights(stream, IMAGES, m)
    flat = loss.reshape(K * V, m).T
    # (DRAWS, K V): sums of fewer than 2^24 whole numbers, which float32 holds exactly, whatever their order
    sums = np.concatenate([drawn[i : i + CHUNK].astype(np.float32) @ flat for i in range(0, DRAWS, CHUNK)])
    table = 100.0 * sums.reshape(DRAWS, K, V).astype(np.float64) / max(m - 1, 1)
    means = (loss.mean(axes, dtype=np.float64) for axes in ((1, 2), (0, 2), (0, 1)))
    return Sample(
        clean=100 * float(clean.mean()),
        poisoned=100 * float(poisoned.mean()),
        draws=_over_seeds(table, stream),
        means=tuple(100 * one for one in means),
    )


def of_accuracies(clean: np.ndarray, poisoned: np.ndarray, images: int, stream: int) -> Sample:
    """The drop from `clean` (1, V) to `poisoned` (K, V), shares of `images` test images, where no more is
    known than these.

    Test images are then drawn from the binomial distribution, clean and poisoned independently, and all
    networks of a side with the same draws.
    """
    loss = 100.0 * (clean - poisoned)  # (K, V)
    noise, independent = np.zeros(DRAWS), []
    for share, factor in ((float(clean.mean()), CLEAN_IMAGES), (float(poisoned.mean()), IMAGES)):
        generator = np.random.default_rng((stream, factor))
        noise += (
            100
            * (generator.binomial(images, share, DRAWS) / images - share)
            * (1 if factor == CLEAN_IMAGES else -1)
        )
        independent.append((1e4 * share * (1 - share) / images, max(images - 1, 1)))
    return Sample(
        clean=100 * float(clean.mean()),
        poisoned=100 * float(poisoned.mean()),
        draws=_over_seeds(np.broadcast_to(loss, (DRAWS, *loss.shape)), stream) + noise,
        means=(loss.mean(1), loss.mean(0)),
        independent=tuple(independent),
    )


def _over_seeds(table: np.ndarray, stream: int) -> np.ndarray:
    """Mean of (DRAWS, K, V) over resampled poison and victim seeds, (DRAWS,)."""
    _, K, V = table.shape
    poison_seeds, victim_seeds = weights(stream, POISON_SEEDS, K), weights(stream, VICTIM_SEEDS, V)
    total = np.einsum("bkv,bk,bv->b", table, poison_seeds.astype(np.float64), victim_seeds.astype(np.float64))
    return total / (max(K - 1, 1) * max(V - 1, 1))


def contrast(
    plus: Sample, minus: Sample | None = None, *, factor: float = 1.0, paired: bool = True
) -> Interval:
    """Interval of drop(plus) - factor * drop(minus), of drop(plus) alone without `minus`.

    `paired`: both samples were drawn with one stream and their seeds and images correspond; ValueError where
    their numbers differ.
    """
    estimate, draws, parts = plus.estimate, plus.draws, [*plus.independent]
    means = list(plus.means)
    if minus is not None:
        estimate, draws = estimate - factor * minus.estimate, draws - factor * minus.draws
        parts += [(factor**2 * variance, freedom) for variance, freedom in minus.independent]
        if paired:
            means = [
                _difference(first, second, factor)
                for first, second in zip(plus.means, minus.means, strict=True)
            ]
        else:
            means += [factor * values for values in minus.means]
    parts += [
        (float(np.var(values, ddof=1)) / len(values), len(values) - 1) for values in means if len(values) > 1
    ]
    half = _quantile(parts) * float(np.std(draws, ddof=1))
    return Interval(estimate, estimate - half, estimate + half)


def pairable(plus: Sample, minus: Sample) -> bool:
    """Whether seeds and test images of two samples can correspond: their numbers are equal, or one is 1."""
    sizes = [(len(first), len(second)) for first, second in zip(plus.means, minus.means, strict=False)]
    return all(first == second or 1 in (first, second) for first, second in sizes)


def _difference(plus: np.ndarray, minus: np.ndarray, factor: float) -> np.ndarray:
    if len(plus) != len(minus) and 1 not in (len(plus), len(minus)):
        raise ValueError(
            f"{len(plus)} and {len(minus)} seeds or test images cannot be compared pair by pair; expected "
            "equal numbers"
        )
    return plus - factor * minus


def _quantile(parts: list[tuple[float, int]]) -> float:
    """Student's quantile at Satterthwaite's degrees of freedom of a sum of variances; to the bit that of
    scipy.stats, which takes a second to import."""
    total = sum(variance for variance, _ in parts)
    if total == 0:
        return float(special.ndtri((1 + LEVEL) / 2))
    freedom = total**2 / sum(variance**2 / own for variance, own in parts)
    return float(special.stdtrit(freedom, (1 + LEVEL) / 2))
