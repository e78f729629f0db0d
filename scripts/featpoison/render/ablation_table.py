"""The table of the stage ablation: a line for each row of a pipeline, with both victims."""

from itertools import groupby

from featpoison.render.layout import set_text
from featpoison.render.plain_table import Table
from featpoison.results.ablation_cells import FULL, AblationCell

HEADS = (
    "Stage",
    "in its place",
    "set",
    "target",
    "sgd100",
    "difference",
    "converged",
    "difference",
    "residual",
    "distance",
    "magnitude",
)
WORDS = 4


def lines_of(cells: list[AblationCell]) -> list[tuple[int, tuple[str, ...]]]:
    """Number of the pipeline and texts of each line, in the order of the cells, whose two victims stand in
    one line."""
    lines: list[tuple[int, tuple[str, ...]]] = []
    for _, group in groupby(cells, key=lambda cell: (cell.pipeline, cell.stage, cell.source)):
        by_victim = {cell.victim: cell for cell in group}
        first, second = by_victim["sgd100"], by_victim["converged"]
        texts = (
            "full pipeline" if first.stage == FULL else first.stage,
            first.title,
            set_text(first),
            first.target or "",
            *_drop(first),
            *_drop(second),
            _number(first.residual, 3),
            _number(first.feature_distance, 1),
            _number(first.magnitude_ratio, 2),
        )
        lines.append((first.pipeline, texts))
    return lines


def notes_of(cells: list[AblationCell]) -> list[str]:
    """What a reader has to know under the table."""
    clean = {cell.victim: cell.clean_accuracy for cell in cells}
    seeds = sorted({f"{cell.seeds} ({cell.victim})" for cell in cells})
    return [
        f"Test accuracy drops in percentage points at a budget of {100 * cells[0].eps_d:g} %, as mean and "
        "95 % interval over poison seeds, victim seeds and test images (crossed bootstrap). Difference: this "
        "drop less that of the full pipeline above, with the interval of the paired difference; below 0, the "
        "full pipeline does more harm.",
        f"Clean accuracy: {', '.join(f'{victim} {value:.2f} %' for victim, value in clean.items())}. Seeds, "
        f"poison x victim: {', '.join(seeds)}.",
        "Residual: gradient left at the row's own target head, relative to the clean one. Distance: mean "
        "squared distance between an image's feature and the one that it was made for. Magnitude: mean norm "
        "of the poisons' features, relative to the clean ones. A dash: no such number.",
    ]


def table_of(cells: list[AblationCell]) -> Table:
    """The whole table, with a rule before each pipeline but the first."""
    lines = lines_of(cells)
    starts = [i for i in range(1, len(lines)) if lines[i][0] != lines[i - 1][0]]
    return Table(HEADS, WORDS, [texts for _, texts in lines], notes_of(cells), frozenset(starts))


def _drop(cell: AblationCell) -> tuple[str, str]:
    own = _interval(cell.drop, cell.drop_low, cell.drop_high)
    return own, _interval(cell.difference, cell.difference_low, cell.difference_high)


def _interval(mean: float | None, low: float | None, high: float | None) -> str:
    if mean is None or low is None or high is None:
        return "–"
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
