"""The name of a table's cell: METHOD[,BETA],EPS[,WORD...], as the columns of its CSV have them.

A word is a victim, a set, a target, a scenario, or a defence (`none` for no defence):
gc-input,0.03,constrained,converged names one cell; gc-input,0.03 names those of all sets and victims.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

NUMBERS = ("beta", "eps_d")
WORDS = ("set", "cap", "pairing", "label", "target", "defence", "scenario", "victim")
TableLine = dict[str, str]


class CellNameError(ValueError):
    """The text names no cell, or the table has no such cell; the message says what was expected."""


@dataclass(frozen=True)
class CellName:
    """What a cell has to have: a method, and in order its beta if it has one, its budget, and words."""

    method: str
    parts: tuple[str, ...]

    def names(self, row: TableLine) -> bool:
        """Whether this is a name of the row. Raises ValueError for a row whose numbers are none."""
        rest = list(self.parts)
        for column in NUMBERS:
            if row[column] and (not rest or _number(rest.pop(0)) != float(row[column])):
                return False
        words = {row[column] for column in WORDS} | ({"none"} if not row["defence"] else set())
        return row["method"] == self.method and set(rest) <= words


def name_of(row: TableLine) -> str:
    """The full name of a row."""
    return ",".join(row[part] for part in ("method", *NUMBERS, *WORDS) if row[part])


def parse(text: str) -> CellName:
    """The cells written as METHOD[,BETA],EPS[,WORD...]. Raises CellNameError."""
    method, *parts = [part.strip() for part in text.split(",")]
    if not method or not parts or not all(parts) or _number(parts[0]) is None:
        examples = "feature-matching,0.25,0.03 or gc-input,0.03,constrained,converged"
        raise CellNameError(f"{text!r}: expected METHOD[,BETA],EPS[,WORD...], as {examples}")
    return CellName(method, tuple(parts))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def find(table: Path, name: CellName) -> list[TableLine]:
    """The rows of a table's CSV that a name names, as text. Raises CellNameError where there is none, or the
    file is no table."""
    try:
        with open(table, newline="") as file:
            rows = list(csv.DictReader(file))
    except (ValueError, csv.Error) as error:
        raise CellNameError(f"{table}: damaged: {error}") from error
    if not rows or not {"method", *NUMBERS, *WORDS, "source"} <= rows[0].keys():
        expected = "expected the columns method, beta, eps_d, ..., source"
        raise CellNameError(f"{table}: no table of this workflow, {expected}")
    try:
        found = [row for row in rows if name.names(row)]
    except ValueError as error:
        raise CellNameError(f"{table}: damaged: {error}") from error
    if not found:
        known = dict.fromkeys(_short_name(row) for row in rows)
        raise CellNameError(f"{table}: has no such cell; its cells are {' '.join(known)}")
    return found


def _short_name(row: TableLine) -> str:
    """A name without scenario, target and victim."""
    return ",".join(row[part] for part in ("method", *NUMBERS, *WORDS[:4], "defence") if row[part])
