"""Lu, Yang, Kamath and Yu, "Indiscriminate Data Poisoning Attacks on Pre-trained Feature Extractors", SaTML
2024 (arXiv 2402.12626): its printed numbers and how it names the rows of its tables."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from featpoison.results.claims import Key
from featpoison.results.rows import Row

SCENARIOS = {
    1: "fine-tuning",
    2: "transfer",
    3: "transfer",
    5: "transfer-vit",
    6: "transfer-clip",
    7: "transfer-cifar100",
    8: "transfer-pcam",
}
"""The scenario of each table; Table 4 names it in its rows."""
TABLES = {*SCENARIOS, 4}
"""The tables of attacks."""

LITERAL_TARGETS = ("gradpc-input", "gradpc-feature", "gradpc-minibatch")
"""Target heads by the paper's protocol read literally, in the readings that it leaves open: one step from the
well-trained head. All others are this project's."""


class Printed(NamedTuple):
    """What the name of a printed row says."""

    method: str
    set: str | None = None
    defence: str | None = None


ROWS = {
    "gradpc-input": Printed("gradpc-input"),
    "gradpc-feature": Printed("gradpc-feature"),
    "tgda-input": Printed("tgda-input", "free"),
    "tgda-input-constrained": Printed("tgda-input", "constrained"),
    "gc-input": Printed("gc-input", "free"),
    "gc-input-constrained": Printed("gc-input", "constrained"),
    "gc-feature": Printed("gc-feature", "free"),
    "decoder-inversion": Printed("decoder-inversion", "free"),
    "feature-matching": Printed("feature-matching", "free"),
    "feature-matching-r": Printed("feature-matching", "free", "magnitude-filter"),
    "emn-original": Printed("emn-original"),
    "emn-end-to-end": Printed("emn-end-to-end"),
    "emn-input": Printed("emn-input"),
}
"""The rows by their names in data/published/published_results.csv."""

TITLES = {Printed("feature-matching", "free", "magnitude-filter"): "Feature matching-r"}
"""Rows that the paper names otherwise than by attack, set and defence."""


@dataclass(frozen=True)
class PrintedDrop:
    """A cell of the paper: its table and its drop in points of accuracy."""

    table: int
    key: Key
    drop: float


def read_printed(path: Path) -> list[PrintedDrop]:
    """The paper's drops in the order of the CSV. Raises KeyError for a row or a table that the paper does not
    have."""
    drops = []
    with open(path, newline="") as file:
        for line in csv.DictReader(file):
            name, _, scenario = line["method"].partition("/")
            row, table = ROWS[name], int(line["table"])
            beta = float(line["beta"]) if line["beta"] else None
            place = scenario or SCENARIOS[table]
            key = Key(place, row.method, beta, float(line["eps_d"]), row.set, row.defence)
            drops.append(PrintedDrop(table, key, float(line["accuracy_drop"])))
    return drops


def as_printed(key: Key) -> Key:
    """The paper's row that one of ours stands beside: its features are free, and it has one target head.

    A row of ours that gives poisons other base images or other labels than the paper does keeps its own key,
    which is none of the paper's.
    """
    if key.pairing or key.label:
        return key
    kept_in = "free" if isinstance(key.set, float) or key.set == "emittable" else key.set
    return Key(key.scenario, key.method, key.beta, key.eps_d, kept_in, key.defence)


def drops_of_table(path: Path, table: int) -> dict[Key, float]:
    """The paper's drops of one table, by key."""
    return {printed.key: printed.drop for printed in read_printed(path) if printed.table == table}


def drops(path: Path) -> dict[Key, float]:
    """The paper's drops by key; where tables repeat a cell, the last."""
    return {printed.key: printed.drop for printed in read_printed(path)}


def title_of(row: Row) -> str | None:
    """The paper's own name of a row, where it is not that of the attack with its choices."""
    kept_in = "free" if row.norm_cap is not None else str(row.set)
    return TITLES.get(Printed(row.method, kept_in, row.defence))
