"""The table of defences: one line for each attack, budget and defence, and at the end the worst of each
defence: what counts is the drop that remains after the attack that knows it best."""

from itertools import groupby

from featpoison.render.plain_table import Table, interval
from featpoison.results.cells import norm_cap
from featpoison.results.defence_cells import DefenceCell
from featpoison.results.rows import set_words

HEADS = (
    "Attack",
    "Defence",
    "budget",
    "clean",
    "sgd100",
    "drop",
    "converged",
    "drop",
    "precision",
    "recall",
    "clean lost",
    "seconds",
)
WORDS = 2


def table_of(cells: list[DefenceCell]) -> Table:
    """The table of these cells, whose two victims stand in one line; a rule stands above the worst ones."""
    lines = lines_of(cells)
    return Table(HEADS, WORDS, [*lines, *worst_of(cells)], notes_of(cells), frozenset({len(lines)}))


def lines_of(cells: list[DefenceCell]) -> list[tuple[str, ...]]:
    """The texts of the lines under `HEADS`, attacks in order of appearance, each without a defence first."""
    lines = []
    for _, of_attack in groupby(cells, key=lambda cell: (attack_text(cell), cell.eps_d)):
        group = list(of_attack)
        lines.append(_undefended(group))
        for _, of_defence in groupby(group, key=lambda cell: cell.source):
            lines.append(_defended(list(of_defence)))
    return lines


def worst_of(cells: list[DefenceCell]) -> list[tuple[str, ...]]:
    """For each budget and defence, the line of the attack that leaves the largest drop, or the two lines
    where another attack does so for the other victim; within a budget, the smallest of these drops first."""
    found = []
    for budget, name in dict.fromkeys((cell.eps_d, cell.defence) for cell in cells):
        own = [cell for cell in cells if (cell.eps_d, cell.defence) == (budget, name)]
        largest: dict[str, DefenceCell] = {}
        for cell in own:
            largest[cell.victim] = max(largest.get(cell.victim, cell), cell, key=lambda one: one.drop)
        drop = max(cell.drop for cell in largest.values())
        sources = dict.fromkeys(cell.source for cell in largest.values())
        lines = [_defended([cell for cell in own if cell.source == source]) for source in sources]
        found.append((budget, drop, lines))
    return [line for *_, lines in sorted(found, key=lambda one: one[:2]) for line in lines]


def attack_text(cell: DefenceCell) -> str:
    """An attack with its set and its target."""
    kept_in = set_words(norm_cap(cell.set or "") or cell.set, cell.cap)
    return ", ".join(filter(None, (cell.attack, kept_in, cell.target)))


def _undefended(cells: list[DefenceCell]) -> tuple[str, ...]:
    """The line of an attack without a defence."""
    by_victim = {cell.victim: cell for cell in cells}
    texts = _of_victims(by_victim, "attacked_accuracy", "attacked_drop", "attacked_low", "attacked_high")
    first = cells[0]
    clean = _both(by_victim, "clean_accuracy")
    return (attack_text(first), "none", f"{first.eps_d:g}", clean, *texts, "-", "-", "-", "-")


def _defended(cells: list[DefenceCell]) -> tuple[str, ...]:
    by_victim = {cell.victim: cell for cell in cells}
    texts = _of_victims(by_victim, "defended_accuracy", "drop", "drop_low", "drop_high")
    first = cells[0]
    removed = (_share(value) for value in (first.precision, first.recall, first.clean_lost))
    clean = _both(by_victim, "defended_clean_accuracy")
    end = (*removed, f"{first.seconds:.1f}")
    return (attack_text(first), first.title, f"{first.eps_d:g}", clean, *texts, *end)


def _of_victims(by_victim: dict[str, DefenceCell], accuracy: str, *ends: str) -> list[str]:
    """Accuracy and drop of both victims. `ends` are the fields of a drop and of its interval; a victim that
    there is not has dashes."""
    texts: list[str] = []
    for victim in ("sgd100", "converged"):
        if cell := by_victim.get(victim):
            mean, low, high = (getattr(cell, one) for one in ends)
            texts += [
                f"{getattr(cell, accuracy):.1f}",
                interval(mean, low, high, 1),
            ]
        else:
            texts += ["-", "-"]
    return texts


def _both(by_victim: dict[str, DefenceCell], name: str) -> str:
    """An accuracy of both victims."""
    return " / ".join(f"{getattr(cell, name):.1f}" for cell in by_victim.values())


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def notes_of(cells: list[DefenceCell]) -> list[str]:
    """What a reader has to know under the table."""
    seeds = sorted({f"{cell.seeds} ({cell.victim})" for cell in cells})
    return [
        "Accuracies, drops and shares in percent. Clean: test accuracy behind the defence without any "
        "poisons, of sgd100 / converged. Then, for each victim, accuracy with poisons and the drop that "
        "remains, from the head without poisons and without defence, with the 95 % interval over poison "
        "seeds, victim seeds and test images (crossed bootstrap). Seeds, poison x victim: "
        f"{', '.join(seeds)}.",
        "Precision: poisons among the rows that are removed. Recall: removed rows among the poisons. Clean "
        "lost: removed rows among the clean ones. A dash: no rows are removed, or there is no such victim.",
        "Seconds: CPU time of the defence and of training both victims, for one poison seed.",
        "Below the last rule, for each budget and defence, the smallest drop first: the attack above that "
        "leaves the largest drop, and where another one does so for the other victim, that too.",
    ]
