"""The claims page: what our own numbers make of the paper's claims, as Markdown."""

from collections.abc import Mapping, Sequence

from featpoison.papers.lu2024 import LITERAL_TARGETS, as_printed
from featpoison.records.provenance import relative
from featpoison.results.bootstrap import DRAWS, Interval
from featpoison.results.claims import Comparison, Key
from featpoison.results.csv_text import written
from featpoison.results.judging import NOT_RUN, Finding, Judgement, counting
from featpoison.results.rows import set_words
from featpoison.results.samples import VICTIMS, Samples

HEAD = f"""# The paper's claims, judged by our own numbers

Every number below is a drop of test accuracy in percentage points, or a difference of two. Brackets hold 95 %
intervals over poison seeds, victim seeds and test images, by a crossed bootstrap ({DRAWS} draws) with
Student's quantile for the number of seeds. A drop has the same interval here and in the tables; the two sides
of a comparison share their draws unless a claim says otherwise. A comparison holds when its interval lies on
the claimed side ("no" when it does not, "opposite" when it lies on the other side); a claim is supported when
all of its comparisons that count hold, and *not judged* when none counts. Where its rows aim at several
target heads, each has a verdict of its own, and "depends on the target" says that these differ. A target of
the *literal protocol* is the paper's step from the well-trained head; those *chosen to be reachable* are this
project's. Two victims are judged: `sgd100`, the paper's 100 epochs of SGD, and `converged`, the exact
minimiser; what only `sgd100` shows is instability of training. *Paper*: how many of all the claim's
comparisons hold among the paper's printed drops, which come without intervals."""


def page(judgements: Sequence[Judgement], samples: Samples, published: Mapping[Key, float]) -> str:
    """The whole page."""
    lines = [HEAD, "", "| | claim | sgd100 | converged | paper |", "|---|---|---|---|---|"]
    for one in judgements:
        cells = [
            str(one.claim.number),
            one.claim.text,
            *(_short(one, victim) for victim in VICTIMS),
            _of(*one.published),
        ]
        lines.append(f"| {' | '.join(cells)} |")
        for targets, part in one.by_target.items():
            cells = ["", _aimed_at(targets), *(_short(part, victim) for victim in VICTIMS), ""]
            lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "Each comparison names the set and the target head of its rows, and tau, the reachability threshold "
        "of that head: at a budget eps_d below tau no poisons whatever make the head stationary.",
    ]
    for one in judgements:
        lines += ["", *_section(one, samples, published)]
    return "\n".join(lines) + "\n"


def _short(judgement: Judgement, victim: str) -> str:
    """The verdict, and how many comparisons stand behind it."""
    found, verdict = judgement.findings[victim], judgement.verdict(victim)
    if not found:
        return verdict
    counted = counting(found)
    opposite, others = sum(finding.opposite for finding in counted), len(found) - len(counted)
    counts = [_holding(counted)]
    counts += [f"{opposite} opposite"] if opposite else []
    counts += [f"{others} not counted"] if others else []
    return f"{verdict} ({', '.join(counts)})"


def _holding(findings: Sequence[Finding]) -> str:
    return _of(sum(finding.holds for finding in findings), len(findings))


def _of(some: int, total: int) -> str:
    return f"{some} of {total}"


def _section(judgement: Judgement, samples: Samples, published: Mapping[Key, float]) -> list[str]:
    """Verdict, sentences, the comparisons, their result files."""
    claim = judgement.claim
    lines = [
        f"## {claim.number}. {claim.text}",
        "",
        f"**{judgement.overall.capitalize()}.** {claim.note}".rstrip(),
    ]
    if judgement.overall == NOT_RUN:
        return [
            *lines,
            "",
            f"Needs result files of {claim.needs}; the configuration's tables declare none that this "
            "version makes.",
        ]
    for targets, part in judgement.by_target.items():
        lines += ["", f"{_aimed_at(targets)}: **{part.overall}.**", "", *_sentences(part, samples)]
    if not judgement.by_target:
        lines += ["", *_sentences(judgement, samples)]
    lines += [
        "",
        "| scenario | claimed | eps_d | tau | sgd100 | converged | paper |",
        "|---|---|---|---|---|---|---|",
    ]
    for pair in zip(*(judgement.findings[victim] for victim in VICTIMS), strict=True):
        comparison = pair[0].comparison
        taus = dict.fromkeys(samples.tau(key) for key in (comparison.plus, comparison.minus))
        tau = " and ".join(f"{one:.3f}" for one in taus if one is not None) or "–"
        cells = [
            _scenarios(comparison),
            claimed(comparison, samples),
            f"{comparison.plus.eps_d:g}",
            tau,
            *map(_cell, pair),
            _printed(comparison, published),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    sources = dict.fromkeys(
        relative(samples.source(key))
        for finding in judgement.findings[VICTIMS[0]]
        for key in (finding.comparison.plus, finding.comparison.minus)
    )
    return [*lines, "", f"Sources: {', '.join(f'`{path}`' for path in sources)}."]


def _sentences(judgement: Judgement, samples: Samples) -> list[str]:
    return [f"- {sentence(victim, judgement.findings[victim], samples)}" for victim in VICTIMS]


def _aimed_at(targets: Sequence[str]) -> str:
    """The target heads of some comparisons, each with the way it was chosen."""
    if not targets:
        return "Rows without a target head"
    chosen = (
        f"`{one}` ({'literal protocol' if one in LITERAL_TARGETS else 'chosen to be reachable'})"
        for one in targets
    )
    return f"{'Target' if len(targets) == 1 else 'Targets'} {' and '.join(chosen)}"


def sentence(victim: str, findings: Sequence[Finding], samples: Samples) -> str:
    """How many of the comparisons that count hold, and the one with the least to spare, in numbers."""
    counted = counting(findings)
    if not counted:
        return f"`{victim}`: none of {len(findings)} comparisons counts."
    weakest = min(counted, key=lambda finding: finding.slack)
    comparison = weakest.comparison
    which = "The comparison" if len(counted) == 1 else "The one with the least to spare"
    text = (
        f"`{victim}`: {_holding(counted)} comparisons hold. {which}, {claimed(comparison, samples)} at "
        f"eps_d = {comparison.plus.eps_d:g} ({_scenarios(comparison)}): "
        f"drops {_interval(weakest.plus)} and {_interval(weakest.minus)}, {_statistic(comparison)} "
        f"{_interval(weakest.difference)}"
    )
    if comparison.factor != 1:
        text += f", ratio {_ratio(weakest)}"
    if weakest.residual is not None:
        text += f", residual {weakest.residual:.3f}"
    return f"{text}."


def claimed(comparison: Comparison, samples: Samples) -> str:
    """The comparison in words."""
    above, below = (_named(key, samples) for key in (comparison.plus, comparison.minus))
    if comparison.within is not None:
        return f"{above} within {comparison.within:g} point of {below}"
    if comparison.plus.scenario != comparison.minus.scenario:
        return f"{above}: {comparison.plus.scenario} > {comparison.minus.scenario}"
    return f"{above} > {'' if comparison.factor == 1 else f'{comparison.factor:g} x '}{below}"


def _named(key: Key, samples: Samples) -> str:
    """A row by its title, with its set and its target head."""
    target = "" if key.target is None else f"target {key.target}"
    remarks = [text for text in (set_words(key.set, key.cap), target) if text]
    return samples.title(key) + (f" [{', '.join(remarks)}]" if remarks else "")


def _statistic(comparison: Comparison) -> str:
    return "difference" if comparison.factor == 1 else f"first less {comparison.factor:g} times the second"


def _scenarios(comparison: Comparison) -> str:
    return " and ".join(dict.fromkeys((comparison.plus.scenario, comparison.minus.scenario)))


def _cell(finding: Finding) -> str:
    """Both drops, the deciding interval, whether the claim holds or the comparison counts at all."""
    drops = f"{_points(finding.plus.mean)} v {_points(finding.minus.mean)}"
    text = f"{drops}: {_interval(finding.difference)}"
    if finding.comparison.factor != 1:
        text += f", ratio {_ratio(finding)}"
    if finding.residual is not None:
        text += f", residual {finding.residual:.3f}"
    if not finding.counts:
        return f"{text}, not counted"
    return f"{text}, {'yes' if finding.holds else 'opposite' if finding.opposite else 'no'}"


def _ratio(finding: Finding) -> str:
    return "undefined" if finding.ratio is None else f"{finding.ratio:.2f}"


def _interval(interval: Interval) -> str:
    return f"{_points(interval.mean)} [{_points(interval.low)}, {_points(interval.high)}]"


def _points(value: float) -> str:
    """Rounded from the digits that a table's CSV holds, so that a table and this page show the same."""
    return f"{float(written(value)):.2f}"


def _printed(comparison: Comparison, published: Mapping[Key, float]) -> str:
    """The paper's two drops, a dash where it has none at this budget."""
    drops = [published.get(as_printed(key)) for key in (comparison.plus, comparison.minus)]
    return " v ".join("–" if drop is None else f"{drop:.2f}" for drop in drops)
