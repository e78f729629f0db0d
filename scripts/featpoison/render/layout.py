"""How a table of attacks is laid out, for LaTeX and for pictures: titles, groups, columns and cell texts."""

from dataclasses import dataclass
from itertools import groupby

from featpoison.results.cells import Cell, norm_cap
from featpoison.results.rows import set_words

# The paper's colours of row groups: white for heads and features, blue for attacks in input space, pink for
# those that aim at features; as RRGGBB.
TINTS = {"input": "DCE9F7", "targeted": "FBE3E4", "none": "FFFFFF"}


@dataclass(frozen=True)
class Line:
    """One attack: what tells it apart, its colour, and for each budget the texts of the columns, all empty
    where it was not run."""

    title: str
    kept_in: str
    target: str
    tint: str
    cells: tuple[tuple[str, ...], ...]


HEADS_SHOWN = (
    " Rows that name no set and no target show a target head itself, beside the clean heads of sgd100."
)
COLUMNS = ("paper", "sgd100", "converged", "residual", "magnitude", "bases")
NOISE_COLUMNS = ("paper", "network", "sgd100", "converged", "clean")


def of_noise(cells: list[Cell]) -> bool:
    """Whether a table is one of EMN."""
    return all(cell.makes == "noise" for cell in cells)


def of_paper(cells: list[Cell]) -> bool:
    """Whether a table has numbers of the paper beside ours."""
    return any(cell.published_drop is not None for cell in cells)


def columns_of(cells: list[Cell]) -> tuple[str, ...]:
    """The columns of each budget; EMN has other victims, a clean accuracy a row, and no target head."""
    columns = NOISE_COLUMNS if of_noise(cells) else COLUMNS
    return columns if of_paper(cells) else columns[1:]


def _drops_note(cells: list[Cell]) -> str:
    whose = "the paper's, then ours as mean" if of_paper(cells) else "mean"
    return (
        f"Test accuracy drops in percentage points: {whose} and 95 % interval over poison seeds, victim "
        "seeds and test images (crossed bootstrap)."
    )


def labels_of(cells: list[Cell]) -> tuple[str, ...]:
    """The heads of the columns of words that begin a line."""
    return ("Attack",) if of_noise(cells) else ("Attack", "set", "target")


def words_of(line: Line, cells: list[Cell]) -> tuple[str, ...]:
    """The words that begin a line, under `labels_of`."""
    return (line.title, line.kept_in, line.target)[: len(labels_of(cells))]


def set_text(cell: Cell) -> str:
    """The set of a cell, as tables show it."""
    return set_words(norm_cap(cell.set or "") or cell.set, cell.cap)


def lines_of(cells: list[Cell]) -> list[Line]:
    """The lines of a table in the order of its cells."""

    def identity(cell: Cell) -> tuple:
        return (
            cell.title,
            set_text(cell),
            cell.target or "",
            TINTS[cell.group],
            cell.source if of_noise(cells) else "",
        )

    lines, columns = [], columns_of(cells)
    blank = ("",) * len(columns)
    for (title, kept_in, target, tint, _), group in groupby(cells, key=identity):
        run = {budget: list(same) for budget, same in groupby(group, key=lambda cell: cell.eps_d)}
        texts = tuple(
            _texts(run[budget])[-len(columns) :] if budget in run else blank for budget in budgets_of(cells)
        )
        lines.append(Line(title, kept_in, target, tint, texts))
    return lines


def _texts(cells: list[Cell]) -> tuple[str, ...]:
    """The texts of all columns at one budget, the paper's first."""
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
        _bases(first),
    )


def _bases(cell: Cell) -> str:
    """How many different clean rows the poisons started from, and how many of them carry another label than
    that row."""
    if cell.distinct_bases is None or cell.dirty_labels is None:
        return ""
    return f"{cell.distinct_bases:.0f} / {cell.dirty_labels:.0f}"


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
class TargetFacts:
    """How a target head was chosen."""

    name: str
    eps_d: float | None
    """The budget that the choice depends on; None where it depends on none."""
    tau: float
    training_error: float
    eps_w: float | None
    scale: float
    step_size: float | None
    """Of the training of the head that it was made from; None for the clean head."""
    epochs: int | None

    @property
    def text(self) -> str:
        """One sentence without its end."""
        name = self.name if self.eps_d is None else f"{self.name} at eps_d = {self.eps_d:g}"
        start = "" if self.epochs is None else f", from {self.epochs} epochs at step size {self.step_size:g}"
        step = "" if self.eps_w is None else f", eps_w = {self.eps_w:.3g}"
        scale = "" if self.scale == 1 else f", shortened to {self.scale:.2g} of its length"
        error = f"training error {100 * self.training_error:.1f} %"
        return f"{name}: tau = {self.tau:.3f}, {error}{start}{step}{scale}"


@dataclass(frozen=True)
class Facts:
    """What the notes say and the cells do not hold."""

    swing: float
    """Largest range of a victim's accuracy over its last epochs, points."""
    targets: tuple[TargetFacts, ...] = ()
    """The target heads of the rows."""
    damping: float | None = None
    """TGDA's, where a row shows that attack."""
    images: int | None = None
    """EMN only: training images, all of them perturbed."""
    missing: tuple[str, ...] = ()
    """Rows with budgets that the table is to show and that are not run yet."""


def notes_of(cells: list[Cell], facts: Facts) -> list[str]:
    """What a reader has to know under the table."""
    if of_noise(cells):
        return _noise_notes(cells, facts) + _missing_note(facts)
    clean = {cell.victim: cell.clean_accuracy for cell in cells}
    seeds = sorted({f"{cell.seeds} ({cell.victim})" for cell in cells if cell.victim != "target"})
    notes = [
        _drops_note(cells) + (HEADS_SHOWN if any(cell.victim == "target" for cell in cells) else ""),
        f"Clean accuracy: {', '.join(f'{victim} {value:.2f} %' for victim, value in clean.items())}. Seeds, "
        f"poison x victim: {', '.join(seeds)}. "
        f"Over its last ten epochs no sgd100 victim moved by more than {facts.swing:.2f} points.",
        "Residual: gradient left at the target head, relative to the clean one. Magnitude: mean norm of the "
        "poisons' features relative to the clean ones. Bases: different clean rows that poisons started "
        "from, and after the slash poisons that have another label than that row. A dash: not run at this "
        "budget, or no such number.",
    ]
    if facts.targets:
        told = "; ".join(target.text for target in facts.targets)
        notes.append(f"Target heads (at a budget below tau no poisons whatever hold one in place): {told}.")
    notes += _set_notes(cells) + _attack_notes(cells, facts) + _rounding_note(cells)
    return notes + _removal_note(cells) + _missing_note(facts)


SETS = {
    "free": "nothing is asked",
    "norm": "norm c, features at most c times as long as the mean clean one",
    "emittable": "emittable c, features at most c times as long as the mean clean one, and without negative "
    "entries where the encoder never emits any",
    "valid": "valid, 8-bit images in [0, 1]",
    "constrained": "constrained, in the range of the clean images and near the base image",
}


def _set_notes(cells: list[Cell]) -> list[str]:
    """What the sets of the rows mean, and how much of the poisoned features is negative."""
    words = [set_text(cell).split()[0] for cell in cells if cell.set is not None]
    used = [text if name != "free" else f"free, {text}" for name, text in SETS.items() if name in words]
    notes = []
    if used:
        notes.append(f"Sets: {'; '.join(used)}. Images that invert features have the set of these features.")
    shares = {
        f"{cell.title} {set_text(cell)} {cell.target or ''}".rstrip(): cell.negative_share
        for cell in cells
        if cell.makes == "features" and cell.negative_share
    }
    if shares:
        told = "; ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())
        notes.append(f"Negative entries of poisoned features: {told}; of all other rows none.")
    return notes


def _attack_notes(cells: list[Cell], facts: Facts) -> list[str]:
    """What a number depends on that the row does not say."""
    notes = []
    if facts.damping is not None:
        notes.append(f"TGDA's Hessian is damped by {facts.damping:g}.")
    if any(cell.label == "base" for cell in cells):
        notes.append(
            "Matched poisons carry the label that their feature was made for; base labels: that of the base "
            "image instead."
        )
    return notes


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


def _missing_note(facts: Facts) -> list[str]:
    """What was not run yet."""
    return [f"Not run yet: {'; '.join(facts.missing)}."] if facts.missing else []


def _noise_notes(cells: list[Cell], facts: Facts) -> list[str]:
    seeds = sorted({f"{cell.seeds} ({cell.victim})" for cell in cells})
    return [
        f"{_drops_note(cells)} All {facts.images} training images are perturbed, so the budget is infinite. "
        "Whole networks (from scratch, end to end) or linear heads on a frozen encoder (sgd100, converged) "
        "are trained on the perturbed images.",
        "Clean accuracy, in percent, is that of the same victims on the same images unperturbed (frozen "
        "encoder: sgd100 / converged). "
        f"Seeds, poison x victim: {', '.join(seeds)}. Over its last ten epochs no sgd100 victim moved by "
        f"more than {facts.swing:.2f} points.",
    ]
