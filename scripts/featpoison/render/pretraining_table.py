"""The table of attacks on pre-training, for LaTeX and as a picture: one line a row and a task."""

from dataclasses import dataclass
from itertools import groupby

from featpoison.papers.liu2022 import NOT_DEFINED
from featpoison.render.plain_table import Table, interval
from featpoison.results.target_cells import TargetCell

HEADS = (
    "Attack",
    "Defence",
    "Task",
    "success",
    "converged",
    "clean",
    "accuracy",
    "drop",
    "rank",
    "cosine",
    "pairs",
)
WORDS = 3


@dataclass(frozen=True)
class Line:
    """The texts of a line, under `HEADS`."""

    texts: tuple[str, ...]


def lines_of(cells: list[TargetCell]) -> list[Line]:
    """The lines of the table in the order of its cells, whose two victims stand in one line, and one for each
    attack of the publication that is not defined here."""
    lines = []
    for _, group in groupby(cells, key=lambda cell: (cell.attack, cell.defence, cell.task, cell.source)):
        by_victim = {cell.victim: cell for cell in group}
        first, second = by_victim["sgd100"], by_victim["converged"]
        lines.append(
            Line(
                (
                    f"{first.attack}, {100 * first.rate:g} %",
                    first.defence or "none",
                    first.task,
                    interval(first.success, first.success_low, first.success_high),
                    interval(second.success, second.success_low, second.success_high),
                    f"{first.clean_success:.0f}",
                    f"{first.accuracy:.1f}",
                    interval(first.drop, first.drop_low, first.drop_high, 1),
                    f"{first.clean_rank:.1f} / {first.rank:.1f}",
                    f"{first.clean_cosine:.2f} / {first.cosine:.2f}",
                    f"{first.cross_pairs:.0f}",
                )
            )
        )
    dashes = ("–",) * (len(HEADS) - 2)
    return lines + [Line((one.title, "not defined here", *dashes)) for one in NOT_DEFINED]


def notes_of(cells: list[TargetCell]) -> list[str]:
    """What a reader has to know under the table."""
    counts = sorted({cell.targets for cell in cells})
    targets = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    missing = "; ".join(f"{one.title}: {one.reason}" for one in NOT_DEFINED)
    return [
        "Success: targets that a head gives the class that the attacker wants, in percent, with the exact "
        f"95 % interval over {targets} targets a row; for sgd100, for the exact minimiser (converged), and "
        "on the clean encoder (sgd100).",
        "Accuracy: of sgd100 on the poisoned encoder, on test inputs that are no targets; drop: what it is "
        "below the clean encoder, in points, with the 95 % interval over encoders, victim seeds and test "
        f"inputs. {_clean_encoders(cells)}",
        "Rank of the wanted class, from 1, and cosine between a target's feature and the mean of that class: "
        "on the clean and the poisoned encoder, mean over targets. Pairs: expected number of times that "
        "training saw a target in one view and its reference in the other, for each target.",
        f"Not defined here, of the attacks that the publication compares with. {missing}.",
    ]


def table_of(cells: list[TargetCell]) -> Table:
    """The whole table."""
    return Table(HEADS, WORDS, [line.texts for line in lines_of(cells)], notes_of(cells))


def _clean_encoders(cells: list[TargetCell]) -> str:
    """The clean encoders with their accuracies, and of all but the first one the rows that are compared with
    them. An accuracy is that beside the encoder's first row, whose targets do not count."""
    rows: dict[tuple[str, str], list[TargetCell]] = {}
    for cell in cells:
        if cell.victim == "sgd100":
            rows.setdefault((cell.clean_encoder, cell.task), []).append(cell)
    usual = next(iter(rows))[0]
    texts = []
    for (name, task), own in rows.items():
        first = own[0]
        ends = first.clean_accuracy_low, first.clean_accuracy_high
        beside = ", ".join(dict.fromkeys(cell.defence or "none" for cell in own))
        text = f"{name}, {interval(first.clean_accuracy, *ends, 1)} % on {task}"
        texts.append(text if name == usual else f"{text}, for the rows of defence {beside}")
    return f"Clean encoder: {'; '.join(texts)}."
