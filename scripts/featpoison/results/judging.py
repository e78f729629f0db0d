"""The verdicts: each claim's comparisons against intervals from our own result files, never against point
estimates alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from featpoison.results.bootstrap import STREAM, Interval, contrast, pairable
from featpoison.results.claims import Claim, Comparison, Key
from featpoison.results.samples import VICTIMS, Samples

RESIDUAL_SMALL = 0.1
"""Largest ||R|| / ||G|| at the target head that counts as canceled."""
SUPPORTED, NOT_SUPPORTED, NOT_RUN, NOT_JUDGED = "supported", "not supported", "not run", "not judged"
DEPENDS = "depends on the target"


@dataclass(frozen=True)
class Finding:
    """One comparison for one victim: both drops, the interval that decides (points), and whether the claim
    holds there."""

    comparison: Comparison
    plus: Interval
    minus: Interval
    difference: Interval
    """Of drop(plus) - factor * drop(minus)."""
    residual: float | None
    """Of `plus`, where the claim is about it."""
    holds: bool
    counts: bool = True
    """Whether either side could have had the larger drop: false where one of them has less accuracy without
    poisons than the other one loses, so that it cannot lose as much by any attack."""

    @property
    def ratio(self) -> float | None:
        """drop(plus) / drop(minus); None where the drop above is not told from zero or the one below is not
        positive."""
        return self.plus.mean / self.minus.mean if self.plus.low > 0 and self.minus.mean > 0 else None

    @property
    def opposite(self) -> bool:
        """Whether the interval lies on the other side of the claim."""
        within = self.comparison.within
        if within is not None:
            return self.difference.low > within or self.difference.high < -within
        return self.difference.high < 0

    @property
    def slack(self) -> float:
        """Points by which the deciding end of the interval is on the claimed side; negative where it is
        not."""
        if self.comparison.within is not None:
            return self.comparison.within - max(-self.difference.low, self.difference.high)
        return self.difference.low


@dataclass(frozen=True)
class Judgement:
    """A claim, its findings by victim, and what the paper's own numbers say (number of comparisons that hold,
    of how many)."""

    claim: Claim
    findings: Mapping[str, Sequence[Finding]]
    published: tuple[int, int]

    @cached_property
    def by_target(self) -> Mapping[tuple[str, ...], "Judgement"]:
        """The same claim judged on the comparisons of each target head alone, in their order.

        A key is `Comparison.targets`: empty for rows that aim at no target head, two names where the two
        sides aim at different ones. Empty where the comparisons name fewer than two target heads: the claim's
        own verdict is then that of its only one.
        """
        everything = [finding for found in self.findings.values() for finding in found]
        aimed = dict.fromkeys(finding.comparison.targets for finding in everything)
        if len([targets for targets in aimed if targets]) < 2:
            return {}
        return {targets: replace(self, findings=_of_targets(self.findings, targets)) for targets in aimed}

    def verdict(self, victim: str) -> str:
        """Supported where every comparison that counts holds; not run where there is none, not judged where
        none counts. Where target heads differ in their verdicts, that they do."""
        if _differ(part.verdict(victim) for targets, part in self.by_target.items() if targets):
            return DEPENDS
        found = self.findings[victim]
        if not found:
            return NOT_RUN
        if not (counted := counting(found)):
            return NOT_JUDGED
        return SUPPORTED if all(finding.holds for finding in counted) else NOT_SUPPORTED

    @property
    def overall(self) -> str:
        """One verdict, which names the victim where it holds for one only."""
        if _differ(part.overall for targets, part in self.by_target.items() if targets):
            return DEPENDS
        verdicts = [self.verdict(victim) for victim in VICTIMS]
        judged = [victim for victim in VICTIMS if self.verdict(victim) != NOT_JUDGED]
        if len(judged) == 1:
            return f"{self.verdict(judged[0])} ({judged[0]} alone is judged)"
        if verdicts == [SUPPORTED, NOT_SUPPORTED]:
            return f"{SUPPORTED} (sgd100 only: instability)"
        if verdicts == [NOT_SUPPORTED, SUPPORTED]:
            return f"{SUPPORTED} (converged only)"
        return verdicts[0]


def counting(findings: Iterable[Finding]) -> list[Finding]:
    """Those that a verdict rests on."""
    return [finding for finding in findings if finding.counts]


def _differ(verdicts: Iterable[str]) -> bool:
    return len(set(verdicts) - {NOT_JUDGED}) > 1


def _of_targets(
    findings: Mapping[str, Sequence[Finding]], targets: tuple[str, ...]
) -> Mapping[str, Sequence[Finding]]:
    """The findings about these target heads, by victim."""
    return {
        victim: [finding for finding in found if finding.comparison.targets == targets]
        for victim, found in findings.items()
    }


def judge(claim: Claim, samples: Samples, published: Mapping[Key, float]) -> Judgement:
    """The findings of one claim for both victims; `published` are the drops that the publication printed."""
    comparisons = claim.compare(samples.keys)
    findings = {
        victim: [find(comparison, samples, victim) for comparison in comparisons] for victim in VICTIMS
    }
    said = [holds_in_print(comparison, published) for comparison in claim.compare(tuple(published))]
    return Judgement(claim, findings, (sum(said), len(said)))


def find(comparison: Comparison, samples: Samples, victim: str) -> Finding:
    """Judge one comparison by its interval."""
    plus = samples.sample(comparison.plus, victim, STREAM)
    minus = samples.sample(comparison.minus, victim, STREAM)
    # A target drawn at random has its own number of draws: its side is then resampled on its own.
    paired = comparison.paired and pairable(plus, minus)
    minus = minus if paired else samples.sample(comparison.minus, victim, STREAM + 1)
    difference = contrast(plus, minus, factor=comparison.factor, paired=paired)
    above, below = (
        contrast(samples.sample(key, victim, STREAM)) for key in (comparison.plus, comparison.minus)
    )
    residual = None
    if comparison.within is not None:
        residual = samples.residual(comparison.plus)
        holds = max(-difference.low, difference.high) <= comparison.within and residual <= RESIDUAL_SMALL
    else:
        holds = difference.low > 0 and (comparison.factor == 1 or above.low > 0)
    counts = comparison.plus.scenario == comparison.minus.scenario or not (
        plus.clean < below.low or minus.clean < above.low
    )
    return Finding(comparison, above, below, difference, residual, holds, counts)


def holds_in_print(comparison: Comparison, published: Mapping[Key, float]) -> bool:
    """The same comparison by the paper's point estimates, which come without intervals."""
    difference = published[comparison.plus] - comparison.factor * published[comparison.minus]
    return difference > 0 if comparison.within is None else abs(difference) <= comparison.within
