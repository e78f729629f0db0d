"""Intervals of accuracy drops when poison seeds, victim seeds and test images are all samples: the crossed
(pigeonhole) bootstrap.

A drop is a mean over a table, poison seeds x victim seeds x test images; each of the three is resampled on
its own, the same draws for everything that is compared pair by pair (Owen, 2007,
https://arxiv.org/abs/0712.1111). Two corrections, since seeds are few:

- of n seeds n - 1 are drawn, with replacement, so that the bootstrap's variance is the usual unbiased
  estimate (McCarthy and Snowden, 1985);
- the percentile interval is widened by the ratio of Student's quantile to the normal one, with the degrees of
  freedom of Satterthwaite's formula over the three sources of variance: this matters for three seeds that
  differ much, and does not for seeds that hardly differ.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

from featpoison.results.intervals import Interval

DRAWS = 2000
CHUNK = 250
POISON_SEEDS, VICTIM_SEEDS, IMAGES, CLEAN_IMAGES = range(4)


@dataclass(frozen=True)
class Sample:
    """A drop in points: its estimate, its bootstrap draws (DRAWS,), and where its variance comes from.

    `means`: the drop of each poison seed, of each victim seed, of each test image. `independent`: variances
    and degrees of freedom of what cannot be paired with another sample.
    """

    estimate: float
    draws: np.ndarray
    means: tuple[np.ndarray, ...]
    independent: tuple[tuple[float, int], ...] = ()


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
    loss = 100.0 * (clean.astype(np.float64) - poisoned)  # (K, V, m)
    K, V, m = loss.shape
    drawn = weights(stream, IMAGES, m)
    flat = loss.reshape(K * V, m).T
    # (DRAWS, K V)
    by_images = np.concatenate(
        [drawn[i : i + CHUNK].astype(np.float64) @ flat for i in range(0, DRAWS, CHUNK)]
    )
    table = by_images.reshape(DRAWS, K, V) / max(m - 1, 1)
    return Sample(
        float(loss.mean()),
        _over_seeds(table, stream),
        (loss.mean((1, 2)), loss.mean((0, 2)), loss.mean((0, 1))),
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
    draws = _over_seeds(np.broadcast_to(loss, (DRAWS, *loss.shape)), stream) + noise
    return Sample(float(loss.mean()), draws, (loss.mean(1), loss.mean(0)), tuple(independent))


def _over_seeds(table: np.ndarray, stream: int) -> np.ndarray:
    """Mean of (DRAWS, K, V) over resampled poison and victim seeds, (DRAWS,)."""
    _, K, V = table.shape
    poison_seeds, victim_seeds = weights(stream, POISON_SEEDS, K), weights(stream, VICTIM_SEEDS, V)
    total = np.einsum("bkv,bk,bv->b", table, poison_seeds.astype(np.float64), victim_seeds.astype(np.float64))
    return total / (max(K - 1, 1) * max(V - 1, 1))


def contrast(
    plus: Sample,
    minus: Sample | None = None,
    *,
    factor: float = 1.0,
    paired: bool = True,
    level: float = 0.95,
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
    widening = _widening(parts, level)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(
        estimate, estimate + widening * float(low - estimate), estimate + widening * float(high - estimate)
    )


def _difference(plus: np.ndarray, minus: np.ndarray, factor: float) -> np.ndarray:
    if len(plus) != len(minus) and 1 not in (len(plus), len(minus)):
        raise ValueError(
            f"{len(plus)} and {len(minus)} seeds or test images cannot be compared pair by pair; expected "
            "equal numbers"
        )
    return plus - factor * minus


def _widening(parts: list[tuple[float, int]], level: float) -> float:
    """Student's quantile over the normal one, at Satterthwaite's degrees of freedom of a sum of variances."""
    total = sum(variance for variance, _ in parts)
    if total == 0:
        return 1.0
    freedom = total**2 / sum(variance**2 / own for variance, own in parts)
    return float(stats.t.ppf((1 + level) / 2, freedom) / stats.norm.ppf((1 + level) / 2))
