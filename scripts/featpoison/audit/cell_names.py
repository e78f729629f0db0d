"""The address of a table's cell: METHOD[,BETA],EPS[,VICTIM], as the columns of its CSV name them."""

import csv
from dataclasses import dataclass
from pathlib import Path

PARTS = ("method", "beta", "eps_d", "victim")
VICTIMS = ("sgd100", "converged", "network", "target")
Row = dict[str, str]


class AddressError(ValueError):
    """The text is no address, or the table has no such cell; the message says what was expected."""


@dataclass(frozen=True)
class Address:
    """A cell: without a victim those of all victims."""

    method: str
    beta: float | None
    eps_d: float
    victim: str | None = None

    def names(self, row: Row) -> bool:
        """Whether this is the row's address."""
        beta = float(row["beta"]) if row["beta"] else None
        return (row["method"], beta, float(row["eps_d"])) == (self.method, self.beta, self.eps_d) and self.victim in (None, row["victim"])


def address_of(row: Row) -> str:
    """The full address of a row."""
    return ",".join(row[part] for part in PARTS if row[part])


def parse(text: str) -> Address:
    """The address written as METHOD[,BETA],EPS[,VICTIM]. Raises AddressError."""
    method, *rest = [part.strip() for part in text.split(",")]
    victim = rest.pop() if rest and rest[-1] in VICTIMS else None
    try:
        numbers = [float(part) for part in rest]
    except ValueError:
        numbers = []
    if not method or len(numbers) not in (1, 2):
        raise AddressError(f"{text!r}: expected METHOD[,BETA],EPS[,VICTIM], as feature-matching,0.25,0.03 or emn-input/transfer,inf,converged")
    return Address(method, numbers[0] if len(numbers) == 2 else None, numbers[-1], victim)


def find(table: Path, address: Address) -> list[Row]:
    """The rows of a table's CSV at an address, as text. Raises AddressError where there is none, or the file is no table."""
    try:
        with open(table, newline="") as file:
            rows = list(csv.DictReader(file))
    except (ValueError, csv.Error) as error:
        raise AddressError(f"{table}: damaged: {error}") from error
    if not rows or not {"method", "beta", "eps_d", "victim", "source"} <= rows[0].keys():
        raise AddressError(f"{table}: no table of this workflow, expected the columns method, beta, eps_d, ..., source")
    try:
        found = [row for row in rows if address.names(row)]
    except ValueError as error:
        raise AddressError(f"{table}: damaged: {error}") from error
    if not found:
        known = dict.fromkeys(",".join(part for part in (row["method"], row["beta"], row["eps_d"]) if part) for row in rows)
        raise AddressError(f"{table}: has no such cell; its cells are {' '.join(known)}")
    return found
