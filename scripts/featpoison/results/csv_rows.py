"""Frozen dataclasses as rows of a CSV, and back, by the types of their fields."""

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any, TypeVar, get_type_hints

from featpoison.results.cells import written

C = TypeVar("C")


def to_csv(kind: type[C], cells: Iterable[C]) -> str:
    """CSV text; numbers with enough digits to be compared, empty where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_names(kind))
    for cell in cells:
        values = asdict(cell).values()  # type: ignore[call-overload]
        writer.writerow(
            "" if value is None else written(value) if isinstance(value, float) else value for value in values
        )
    return text.getvalue()


def from_csv(kind: type[C], text: str) -> list[C]:
    """The inverse of `to_csv`, up to its rounding. Raises ValueError for other columns."""
    rows = list(csv.DictReader(io.StringIO(text)))
    names = _names(kind)
    if rows and list(rows[0]) != names:
        raise ValueError(f"columns are {list(rows[0])}, expected {names}")
    types = get_type_hints(kind)
    return [kind(**{name: _value(types[name], row[name]) for name in names}) for row in rows]


def _names(kind: type) -> list[str]:
    return [field.name for field in fields(kind)]


def _value(kind: Any, text: str) -> Any:
    """The text of a field of type str, int, bool, float, or one of str and float with None."""
    if kind is str:
        return text
    if not text:
        return None
    if kind is bool:
        return text == "True"
    if kind is int:
        return int(text)
    return text if kind == str | None else float(text)
