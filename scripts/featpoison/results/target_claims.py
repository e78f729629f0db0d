"""Statements about attacks on pre-training, judged by intervals of our own numbers.

Two encoders are compared by the success on targets that both are measured on. Of n targets let g be those
that the first encoder gives the wanted class and the second does not, and l those the other way round; where
there are several victim seeds, a target counts by its share. The gap is (g - l)/n. Its interval joins the
exact ones of g/n and of l/n at 97.5 % each (`binomial`),

    [low(g/n) - high(l/n), high(g/n) - low(l/n)],

which holds the truth at least 95 % of the time, however few the targets are (Bonferroni). As in the table,
the encoders are held fixed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from featpoison import store
from featpoison.results.binomial import exact_interval
from featpoison.results.bootstrap import LEVEL, Interval
from featpoison.results.judging import NOT_JUDGED, NOT_RUN, NOT_SUPPORTED, SUPPORTED
from featpoison.results.target_cells import VICTIMS, TargetCell, TargetRow

HOLDS, OPPOSITE, UNDECIDED = "yes", "opposite", "no"


@dataclass(frozen=True)
class SuccessGap:
    """Claimed: targets are given the wanted class more often on the encoders of `plus`."""

    plus: TargetRow
    minus: TargetRow | None
    """Null: on the clean encoder of `plus`."""


@dataclass(frozen=True)
class UtilityKept:
    """Claimed: the drop of accuracy is at most so many points."""

    plus: TargetRow
    within: float


Comparison = SuccessGap | UtilityKept


@dataclass(frozen=True)
class Statement:
    """A statement in words, and the comparisons that the rows of a table allow; none where it cannot be
    judged here at all."""

    number: int
    text: str
    compare: Callable[[Sequence[TargetRow]], list[Comparison]] | None
    note: str = ""


@dataclass(frozen=True)
class Finding:
    """A comparison for one victim, in points."""

    comparison: Comparison
    value: Interval
    targets: int
    """That the two sides have in common."""

    @property
    def outcome(self) -> str:
        """On which side of the claim the interval lies; `no` where it holds the border."""
        value, comparison = self.value, self.comparison
        if isinstance(comparison, UtilityKept):
            holds, opposite = value.high <= comparison.within, value.low > comparison.within
        else:
            holds, opposite = value.low > 0, value.high < 0
        return HOLDS if holds else OPPOSITE if opposite else UNDECIDED


@dataclass(frozen=True)
class Judgement:
    """A statement and its findings by victim, in the order of its comparisons."""

    statement: Statement
    findings: Mapping[str, Sequence[Finding]]

    def verdict(self, victim: str) -> str:
        """Supported where every comparison holds."""
        if self.statement.compare is None:
            return NOT_JUDGED
        found = self.findings[victim]
        if not found:
            return NOT_RUN
        return SUPPORTED if all(one.outcome == HOLDS for one in found) else NOT_SUPPORTED


def judge(
    statement: Statement, rows: Sequence[TargetRow], cells: Mapping[tuple[str, str], TargetCell]
) -> Judgement:
    """The findings for both victims; comparisons of encoders without a common target are left out.

    `cells` are those of the table by the measures of their row, joined by spaces, and victim. Raises
    FileNotFoundError or StoreError for missing or damaged measures.
    """
    wanted = statement.compare(rows) if statement.compare else []
    found = {victim: [_find(one, victim, cells) for one in wanted] for victim in VICTIMS}
    return Judgement(statement, {victim: [one for one in each if one] for victim, each in found.items()})


def _find(comparison: Comparison, victim: str, cells: Mapping[tuple[str, str], TargetCell]) -> Finding | None:
    row = comparison.plus
    if isinstance(comparison, UtilityKept):
        cell = cells[" ".join(row.measures), victim]
        return Finding(comparison, Interval(cell.drop, cell.drop_low, cell.drop_high), cell.targets)
    if comparison.minus is None:
        pairs = list(zip(row.measures, row.clean, strict=True))
    else:
        others = {_targets(path): path for path in comparison.minus.measures}
        pairs = [(path, others[_targets(path)]) for path in row.measures if _targets(path) in others]
    if not pairs:
        return None
    sides = (np.concatenate([shares(path, victim) for path in side]) for side in zip(*pairs, strict=True))
    first, second = sides
    return Finding(comparison, success_gap(first, second), len(first))


def _targets(path: str) -> bytes:
    """What a file measures: equal for the same targets in the same order."""
    return np.stack(list(store.read(Path(path), "target", "label").values())).tobytes()


def shares(path: str, victim: str) -> np.ndarray:
    """The share of victim seeds that give each target the wanted class, float64 (k,)."""
    arrays = store.read(Path(path), "target", "label", f"{victim}_predictions")
    return (arrays[f"{victim}_predictions"][:, arrays["target"]] == arrays["label"]).mean(0)


def success_gap(first: np.ndarray, second: np.ndarray) -> Interval:
    """How much more often the first succeeds than the second, in points, from the shares of success on the
    same targets (k,) each."""
    gap = first - second
    n, level = len(gap), (1 + LEVEL) / 2
    gained = exact_interval(float(gap.clip(min=0).sum()), n, level)
    lost = exact_interval(float((-gap).clip(min=0).sum()), n, level)
    ends = gained.mean - lost.mean, gained.low - lost.high, gained.high - lost.low
    return Interval(*(100 * end for end in ends))
