"""The exact interval of a share (Clopper and Pearson, 1934, https://doi.org/10.1093/biomet/26.4.404)."""

from scipy import special

from featpoison.results.bootstrap import LEVEL, Interval


def exact_interval(successes: float, trials: int, level: float = LEVEL) -> Interval:
    """The share of successes among independent trials, in [0, 1], and its interval, of 95 % or `level`.

    The ends are those shares at which so many successes or more, or so many or fewer, have a probability of
    2.5 %, half of what the level leaves; as quantiles of beta distributions they are defined between whole
    numbers too. A trial may so count in part, as the mean over heads that agree or not: its variance is then
    at most that of a trial that counts 0 or 1, so that the interval is no narrower than it should be. Raises
    ValueError where there is no trial, or successes are not between 0 and the trials.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(
            f"{successes:g} successes of {trials} trials, expected 0 to {trials} of at least one"
        )
    tail = (1 - level) / 2
    low = special.betaincinv(successes, trials - successes + 1, tail) if successes > 0 else 0.0
    high = special.betaincinv(successes + 1, trials - successes, 1 - tail) if successes < trials else 1.0
    return Interval(successes / trials, float(low), float(high))
