"""What tables and claims need: their rows with titles, and the result files that these come from."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from featpoison.attacks import names as attacks
from featpoison.attacks.choices import number
from featpoison.config import Config, TableRow
from featpoison.defences import names as defences
from featpoison.graph.paths import CLEAN_HEADS, FEATURES, PUBLISHED, VICTIMS
from featpoison.graph.steps import Steps, Wildcards
from featpoison.papers import lu2024
from featpoison.records import provenance
from featpoison.results.rows import Request, Row, set_words

FORMATS = ("csv", "tex", "pdf", "png")
SHARED = {"features": FEATURES, "clean": CLEAN_HEADS}
"""What the results of a scenario share, by the names of `results.samples.ScenarioFiles`."""


class Tables:
    """The tables of one configuration, and the page of claims."""

    def __init__(self, config: Config) -> None:
        self.config, self.steps = config, Steps(config)

    def title(self, row: Row) -> str:
        """A row's title: the paper's own where it has one, else the attack, with what tells its rows apart
        beside the set and the target, which tables show in columns of their own."""
        attack = attacks.load(row.method)
        remarks = [] if row.beta is None else [f"beta = {row.beta:g}"]
        if row.pairing is not None:
            remarks.append("within class")
        if row.label is not None:
            remarks.append(f"{row.label} labels")
        own = lu2024.title_of(row)
        if row.defence and own is None:
            remarks.append(defences.load(row.defence).title)
        if attack.makes == "noise":
            remarks.append(str(row.scenario))
        if attack.ours:
            remarks.append("ours")
        return (own or attack.title) + (f" ({', '.join(remarks)})" if remarks else "")

    def request(self, table: str, row: TableRow, budget: float) -> Request:
        """What a cell shows, and where its numbers come from."""
        scenario = row.scenario or self.config.tables[table].scenario
        own = Row(**row.model_dump(exclude={"budgets"}) | {"scenario": scenario})
        if row.attack.makes == "target":
            place = self.config.scenarios[scenario]
            known = {"dataset": place.dataset, "encoder": place.encoder, "budget": number(budget)}
            source = self.steps.target_file(row.method, **known)
        else:
            known = {"defence": row.defence or defences.NONE, "budget": number(budget)}
            source = self.steps.of_scenario(VICTIMS, scenario, attack=row.choice.segment, **known)
        attack = row.attack
        said = {"makes": attack.makes, "title": self.title(own), "group": attack.tint}
        return Request.model_validate({"row": own, "eps_d": budget, "source": source, **said})

    def declared(self, table: str) -> list[Request]:
        """The cells of a table, row by row."""
        declared = self.config.tables[table]
        return [
            self.request(table, row, budget) for row in declared.rows for budget in declared.budgets_of(row)
        ]

    def requests(self, table: str) -> list[Request]:
        """The cells that a table shows: those that are declared, and of a `partial` configuration only those
        whose result file is there, at budgets at which there are victims and not target heads alone."""
        if not self.config.partial:
            return self.declared(table)
        there = [one for one in self.declared(table) if Path(one.source).exists()]
        budgets = {one.eps_d for one in there if one.makes != "target"}
        return [one for one in there if one.eps_d in budgets]

    def missing(self, wildcards: Wildcards) -> list[str]:
        """What a table declares and does not show, for its notes: rows with their budgets."""
        shown = self.requests(wildcards.table)
        budgets: dict[str, list[str]] = {}
        for one in self.declared(wildcards.table):
            if one not in shown:
                words = (one.title, set_words(one.row.set, one.row.cap), one.row.target)
                budgets.setdefault(" ".join(filter(None, words)), []).append(f"{one.eps_d:g}")
        return [f"{row} at eps_d = {' and '.join(values)}" for row, values in budgets.items()]

    def table_json(self, wildcards: Wildcards) -> str:
        """The cells of a table, as the program wants them."""
        return _json(self._of_table(wildcards.table))

    def table_inputs(self, wildcards: Wildcards) -> list[str]:
        """All files that a table's numbers come from."""
        return _files_of(self._of_table(wildcards.table))

    def published(self, wildcards: Wildcards) -> list[str]:
        """The paper's numbers, where a table stands beside the paper's of its number."""
        return [PUBLISHED] if self.config.tables[wildcards.table].paper else []

    def _of_table(self, table: str) -> dict[str, Any]:
        """The cells of a table, and the files that those of a scenario share; EMN's results bring their own
        clean heads."""
        requests = self.requests(table)
        if not requests:
            raise ValueError(f"{table}: none of its results is there yet, expected one for a partial table")
        compared = {request.row.scenario for request in requests if request.makes != "noise"}
        return self._of(
            requests, lambda scenario: ("features", *(("clean",) if scenario in compared else ()))
        )

    def table_victims(self, wildcards: Wildcards) -> list[str]:
        """Those of retrained victims."""
        requests = self.requests(wildcards.table)
        return sorted({request.source for request in requests if request.makes != "target"})

    def table_targets(self, wildcards: Wildcards) -> list[str]:
        """The target heads that its rows show or aim at."""
        scenario = self.config.scenarios[self.config.tables[wildcards.table].scenario]
        found = []
        for request in self.requests(wildcards.table):
            own = request.row.method if request.makes == "target" else request.row.target
            if own is not None:
                known = {"dataset": scenario.dataset, "encoder": scenario.encoder}
                found.append(self.steps.target_file(own, budget=number(request.eps_d), **known))
        return list(dict.fromkeys(found))

    def _of(self, requests: list[Request], shared: Callable[[str], tuple[str, ...]]) -> dict[str, Any]:
        """Cells, and by scenario the shared files of these names."""
        scenarios = sorted({str(request.row.scenario) for request in requests})
        files = {
            scenario: {name: self.steps.of_scenario(SHARED[name], scenario) for name in shared(scenario)}
            for scenario in scenarios
        }
        return {"scenarios": files, "results": [one.model_dump(exclude_none=True) for one in requests]}

    def judged(self) -> dict[str, Any]:
        """What the claims are judged on: the shared files of each scenario of a table, and all tables'
        cells."""
        requests = [request for table in self.config.tables for request in self.requests(table)]
        return self._of(requests, lambda scenario: tuple(SHARED))

    def judged_json(self, wildcards: Wildcards) -> str:
        """`judged` as the program wants it."""
        return _json(self.judged())

    def judged_files(self, wildcards: Wildcards) -> list[str]:
        """All files that the claims are judged on."""
        return _files_of(self.judged())

    @property
    def table_files(self) -> list[str]:
        """All forms of all tables that show anything."""
        tables = [table for table in self.config.tables if self.requests(table)]
        return [f"{self.config.output}/{table}.{form}" for table in tables for form in FORMATS]

    @property
    def claim_files(self) -> list[str]:
        """The page of the paper's claims, where any table stands beside one of the paper's."""
        papers = any(table.paper for table in self.config.tables.values())
        return [f"{self.config.output}/claims.md"] if self.table_files and papers else []


def _files_of(named: dict[str, Any]) -> list[str]:
    """Every file that `Tables._of` names, once."""
    shared = {path for files in named["scenarios"].values() for path in files.values()}
    return sorted(shared | {result["source"] for result in named["results"]})


def _json(values: Any) -> str:
    """Sorted JSON, in which an infinite budget is the text "inf"."""
    return provenance.canonical_json(_finite(values))


def _finite(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _finite(value) for key, value in values.items()}
    if isinstance(values, list):
        return [_finite(value) for value in values]
    return "inf" if isinstance(values, float) and math.isinf(values) else values
