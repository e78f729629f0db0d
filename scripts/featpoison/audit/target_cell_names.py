"""The name of a cell in the table of attacks on pre-training: ENCODER[,WORD...].

A row is named by any of its encoders; a word is a task or a victim. continued-screened,converged names one
cell, and continued-screened those of all tasks and victims.
"""

import csv
from pathlib import Path

from featpoison.audit.cell_names import CellNameError, TableLine

COLUMNS = {"attack", "defence", "task", "victim", "clean_encoder", "vote", "source"}


def is_of_targets(row: TableLine) -> bool:
    """Whether a line belongs to such a table."""
    return row.keys() >= COLUMNS


def lines_of(table: Path) -> list[TableLine]:
    """The lines of a CSV if it is such a table, else none."""
    try:
        with open(table, newline="") as file:
            rows = list(csv.DictReader(file))
    except (ValueError, csv.Error):
        return []
    return rows if rows and all(map(is_of_targets, rows)) else []


def encoders_of(row: TableLine) -> list[str]:
    """The encoders of a row, as its measures' paths have them."""
    return [Path(path).parent.name for path in row["source"].split()]


def name_of(row: TableLine) -> str:
    """The full name of a line."""
    return ",".join((encoders_of(row)[0], row["task"], row["victim"]))


def find(rows: list[TableLine], text: str) -> list[TableLine]:
    """The lines that a name names. Raises CellNameError where there is none."""
    encoder, *words = [part.strip() for part in text.split(",")]
    found = [row for row in rows if encoder in encoders_of(row) and {*words} <= {row["task"], row["victim"]}]
    if not found:
        known = dict.fromkeys(encoders_of(row)[0] for row in rows)
        raise CellNameError(
            f"{text!r}: has no such cell, expected ENCODER[,TASK][,VICTIM] with an encoder such as "
            f"{', '.join(known)}"
        )
    return found


def clean_of(row: TableLine) -> list[str]:
    """The measures of the clean encoder that a row is compared with, in the order of its own; of encoders
    that vote those of the first alone."""
    from featpoison.graph.paths import TARGET_MEASURES  # torch

    poisoned = [Path(path).stem for path in row["source"].split()]
    return [
        TARGET_MEASURES.format(dataset=row["task"], encoder=row["clean_encoder"], poisoned=name)
        for name in (poisoned[:1] if row["vote"] == "True" else poisoned)
    ]
