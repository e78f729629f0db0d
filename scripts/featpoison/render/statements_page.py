"""The page of statements about attacks on pre-training, judged by our own numbers, as Markdown."""

from collections.abc import Mapping, Sequence

from featpoison.results.bootstrap import Interval
from featpoison.results.target_cells import VICTIMS, TargetCell, TargetRow
from featpoison.results.target_claims import (
    HOLDS,
    NOT_JUDGED,
    NOT_RUN,
    OPPOSITE,
    Finding,
    Judgement,
    SuccessGap,
)

HEAD = """# PoisonedEncoder: what a review of it states, judged by our own numbers

Of the publication (Liu, Jia and Gong, USENIX Security 2022, arXiv 2205.06401) only a review's statements are
known here, no numbers. Differences of success and drops of accuracy are in percentage points. Brackets hold
95 % intervals: of differences of success the exact one over the targets that both encoders are measured on,
with the encoders held fixed; of drops that of the table. A comparison holds when its interval lies on the
claimed side ("no" when it does not, "opposite" when it lies on the other side); a statement is supported
when all of its comparisons hold. Two victims are judged: `sgd100`, heads trained by SGD, and `converged`, the
exact minimiser."""


def page(judgements: Sequence[Judgement], cells: Mapping[tuple[str, str], TargetCell]) -> str:
    """The whole page."""
    lines = [HEAD, "", "| | statement | sgd100 | converged |", "|---|---|---|---|"]
    for one in judgements:
        texts = (str(one.statement.number), one.statement.text, *(_short(one, name) for name in VICTIMS))
        lines.append(_line(texts))
    for one in judgements:
        lines += ["", *_section(one)]
    return "\n".join([*lines, "", *_numbers(cells)]) + "\n"


def _section(judgement: Judgement) -> list[str]:
    statement = judgement.statement
    verdicts = dict.fromkeys(judgement.verdict(victim) for victim in VICTIMS)
    verdict = next(iter(verdicts)) if len(verdicts) == 1 else "depends on the victim"
    lines = [
        f"## {statement.number}. {statement.text}",
        "",
        f"**{verdict.capitalize()}.** {statement.note}".rstrip(),
    ]
    if verdict == NOT_RUN:
        return [*lines, "", "The table has no rows to compare."]
    if verdict == NOT_JUDGED:
        return lines
    lines += ["", "| claimed | task | targets | sgd100 | converged |", "|---|---|---|---|---|"]
    for pair in zip(*(judgement.findings[victim] for victim in VICTIMS), strict=True):
        first = pair[0]
        texts = (claimed(first), first.comparison.plus.task, str(first.targets), *map(_cell, pair))
        lines.append(_line(texts))
    return lines


def _numbers(cells: Mapping[tuple[str, str], TargetCell]) -> list[str]:
    """Success and accuracy of every row, which the statements are about."""
    heads = ("row", "task", "victim", "success", "on the clean encoder", "accuracy", "clean accuracy", "drop")
    lines = ["## Our numbers, in percent", "", _line(heads), "|" + "---|" * len(heads)]
    for cell in cells.values():
        texts = (
            _words(cell),
            cell.task,
            cell.victim,
            _interval(Interval(cell.success, cell.success_low, cell.success_high)),
            _interval(Interval(cell.clean_success, cell.clean_success_low, cell.clean_success_high)),
            f"{cell.accuracy:.1f}",
            f"{cell.clean_accuracy:.1f}",
            _interval(Interval(cell.drop, cell.drop_low, cell.drop_high)),
        )
        lines.append(_line(texts))
    return lines


def claimed(finding: Finding) -> str:
    """The comparison in words."""
    comparison = finding.comparison
    own = _words(comparison.plus)
    if not isinstance(comparison, SuccessGap):
        return f"{own}: accuracy falls by at most {comparison.within:g} points"
    other = f"`{comparison.plus.clean_encoder}`" if comparison.minus is None else _words(comparison.minus)
    return f"{own} > {other}"


def _words(row: TargetRow | TargetCell) -> str:
    """A row by its attack, rate and defence."""
    return f"{row.attack}, {100 * row.rate:g} %" + (f", {row.defence}" if row.defence else "")


def _short(judgement: Judgement, victim: str) -> str:
    """The verdict, and how many comparisons stand behind it."""
    verdict, found = judgement.verdict(victim), judgement.findings[victim]
    if not found:
        return verdict
    outcomes = [one.outcome for one in found]
    counts = f"{outcomes.count(HOLDS)} of {len(found)}"
    opposite = outcomes.count(OPPOSITE)
    return f"{verdict} ({counts}{f', {opposite} opposite' if opposite else ''})"


def _cell(finding: Finding) -> str:
    return f"{_interval(finding.value)}, {finding.outcome}"


def _interval(one: Interval) -> str:
    return f"{one.mean:.1f} [{one.low:.1f}, {one.high:.1f}]"


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"
