"""Numbers of tables as CSV and back: a line for each object of a dataclass of texts, numbers and truths."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar, get_args, get_type_hints

C = TypeVar("C")


def written(value: float) -> str:
    """A number as a table's CSV has it; what else prints it rounds it from here, so that all round alike."""
    return f"{value:.6g}"


def to_csv(kind: type, cells: Iterable[Any]) -> str:
    """CSV text of objects of the dataclass `kind`, its fields as columns; numbers with enough digits to be
    compared, empty where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(kind))
    for cell in cells:
        values = asdict(cell).values()
        writer.writerow(
            "" if value is None else written(value) if isinstance(value, float) else value for value in values
        )
    return text.getvalue()


def from_csv(kind: type[C], text: str) -> list[C]:
    """The inverse of `to_csv`, up to its rounding. Raises ValueError for other columns."""
    rows = list(csv.DictReader(io.StringIO(text)))
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    if rows and list(rows[0]) != names:
        raise ValueError(f"columns are {list(rows[0])}, expected {names}")
    return [from_line(kind, row) for row in rows]


def from_line(kind: type[C], line: Mapping[str, str]) -> C:
    """The object of one line of the CSV. Raises KeyError for a missing column, ValueError for a damaged
    number."""
    hints = get_type_hints(kind)
    return kind(**{name: _value(hints[name], line[name]) for name in hints})


def _value(hint: Any, text: str) -> Any:
    """A text as the type of its field; None where the type allows it and the text is empty."""
    kinds = get_args(hint) or (hint,)
    if not text and type(None) in kinds:
        return None
    if bool in kinds:
        return text == "True"
    return next(kind for kind in (int, float, str) if kind in kinds)(text)
