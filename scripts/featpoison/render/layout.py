"""How a table of attacks is laid out, for LaTeX and for pictures: titles, groups, columns and cell texts."""

from dataclasses import dataclass
from itertools import groupby

from featpoison.results.cells import Cell

# The paper's colours of row groups: white for heads and features, blue for attacks in input space, pink for
# those that aim at features; as RRGGBB.
TINTS = {"input": "DCE9F7", "targeted": "FBE3E4", "none": "FFFFFF"}


@dataclass(frozen=True)
class Line:
    """One attack: its title, colour, and for each budget the texts of the columns."""

    title: str
    tint: str
    cells: tuple[tuple[str, ...], ...]


DROPS = (
    "Test accuracy drops in percentage points: the paper's, then ours as mean and 95 % interval over poison "
    "seeds, victim seeds and test images (crossed bootstrap)."
)
COLUMNS = ("paper", "sgd100", "converged", "residual", "magnitude")
NOISE_COLUMNS = ("paper", "network", "sgd100", "converged", "clean")


def of_noise(cells: list[Cell]) -> bool:
    """Whether a table is one of EMN."""
    return all(cell.makes == "noise" for cell in cells)


def columns_of(cells: list[Cell]) -> tuple[str, ...]:
    """The columns of each budget; EMN has other victims, a clean accuracy a row, and no target head."""
    return NOISE_COLUMNS if of_noise(cells) else COLUMNS


def lines_of(cells: list[Cell]) -> list[Line]:
    """The lines of a table in the order of its cells."""
    lines = []
    for (title, tint), group in groupby(cells, key=lambda cell: (cell.title, TINTS[cell.group])):
        budgets = [list(same) for _, same in groupby(group, key=lambda cell: cell.eps_d)]
        lines.append(Line(title, tint, tuple(_texts(same) for same in budgets)))
    return lines


def _texts(cells: list[Cell]) -> tuple[str, ...]:
    by_victim = {cell.victim: cell for cell in cells}
    first = cells[0]
    if of_noise(cells):
        clean = " / ".join(f"{cell.clean_accuracy:.2f}" for cell in cells)
        return (
            _number(first.published_drop, 2),
            *(_drop(by_victim.get(victim)) for victim in NOISE_COLUMNS[1:4]),
            clean,
        )
    ours = [_drop(by_victim.get(victim) or by_victim.get("target")) for victim in ("sgd100", "converged")]
    if "target" in by_victim:
        ours[1] = ""
    return (
        _number(first.published_drop, 2),
        *ours,
        _number(first.residual, 3),
        _number(first.magnitude_ratio, 2),
    )


def _drop(cell: Cell | None) -> str:
    if cell is None:
        return ""
    return f"{cell.drop:.2f} [{cell.drop_low:.2f}, {cell.drop_high:.2f}]"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def budgets_of(cells: list[Cell]) -> list[float]:
    """The budgets in order of appearance."""
    return list(dict.fromkeys(cell.eps_d for cell in cells))


@dataclass(frozen=True)
class Facts:
    """What the notes say and the cells do not hold."""

    eps_w: float
    """GradPC's step."""
    swing: float
    """Largest range of a victim's accuracy over its last epochs, points."""
    images: int | None = None
    """EMN only: training images, all of them perturbed."""


def notes_of(cells: list[Cell], facts: Facts) -> list[str]:
    """What a reader has to know under the table."""
    if of_noise(cells):
        return _noise_notes(cells, facts)
    clean = {cell.victim: cell.clean_accuracy for cell in cells}
    seeds = sorted({f"{cell.seeds} ({cell.victim})" for cell in cells if cell.victim != "target"})
    attack = next((cell for cell in cells if cell.victim != "target"), cells[0])
    assert attack.tau is not None  # only EMN has none
    below = "below" if max(budgets_of(cells)) < attack.tau else "not all below"
    notes = [
        f"{DROPS} Rows of GradPC show the target head itself, beside the clean heads of sgd100.",
        f"Clean accuracy: {', '.join(f'{victim} {value:.2f} %' for victim, value in clean.items())}. Seeds, "
        f"poison x victim: {', '.join(seeds)}. "
        f"Over its last ten epochs no sgd100 victim moved by more than {facts.swing:.2f} points.",
        f"Target head: eps_w = {facts.eps_w:g} (paper: 1), reachability threshold tau = {attack.tau:.3f}; "
        f"the budgets shown are {below} it. "
        "Residual: gradient left at the target head, relative to the clean one. "
        "Magnitude: mean norm of the poisons' features relative to the clean ones.",
    ]
    return notes + _cap_note(cells) + _rounding_note(cells) + _removal_note(cells)


def _cap_note(cells: list[Cell]) -> list[str]:
    """What a norm cap in a row's name means, where there is one: a set that is a number."""
    if all(cell.set is None or cell.set.isalpha() for cell in cells):
        return []
    return [
        "Cap: no poisoned feature is longer than so many times the clean features, of which canceling takes "
        "the longest one and the exact bilevel attack the mean. Images with a cap invert such features."
    ]


def _rounding_note(cells: list[Cell]) -> list[str]:
    """What is left of image attacks after rounding to 8 bits, most changed first; every number is in the
    CSV."""
    changes = [(cell.drop_8bit - cell.drop, cell) for cell in cells if cell.drop_8bit is not None]
    if not changes:
        return []
    change, most = max(changes, key=lambda pair: abs(pair[0]))
    return [
        "Image attacks after rounding to 8 bits, which also clips to the pixel range (CSV, column "
        "drop_8bit): no drop changes by more than "
        f"{abs(change):.2f} points, the largest change being {most.title}, {most.victim}, eps_d = "
        f"{most.eps_d:g}: "
        f"{most.drop:.2f} to {most.drop_8bit:.2f}."
    ]


def _removal_note(cells: list[Cell]) -> list[str]:
    """How many poisons the defences removed."""
    texts = {
        f"{cell.title}, eps_d = {cell.eps_d:g}: {cell.removed:.0f} of {cell.removed + cell.poisons:.0f}"
        for cell in cells
        if cell.removed and cell.poisons is not None
    }
    return [f"Removed before training, mean over poison seeds: {'; '.join(sorted(texts))}."] if texts else []


def _noise_notes(cells: list[Cell], facts: Facts) -> list[str]:
    seeds = sorted({f"{cell.seeds} ({cell.victim})" for cell in cells})
    return [
        f"{DROPS} All {facts.images} training images are perturbed, so the budget is infinite. Whole "
        "networks (from scratch, end to end) or linear heads on a frozen encoder (sgd100, converged) are "
        "trained on the perturbed images.",
        "Clean accuracy, in percent, is that of the same victims on the same images unperturbed (frozen "
        "encoder: sgd100 / converged). "
        f"Seeds, poison x victim: {', '.join(seeds)}. Over its last ten epochs no sgd100 victim moved by "
        f"more than {facts.swing:.2f} points.",
    ]
