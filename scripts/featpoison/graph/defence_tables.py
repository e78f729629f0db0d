"""The table of defences: its rows, and what its steps read and how their programs are called."""

from collections.abc import Callable

from featpoison.attacks.choices import number
from featpoison.config import Config, DefenceTable, DefendedRow
from featpoison.defences import names as defences
from featpoison.graph.paths import (
    DEFENCE_SECONDS,
    DEFENDED_HEADS,
    DEFENDED_VICTIMS,
    ENCODER,
    FEATURES,
    IMAGES,
    POISONED_FEATURES,
    POISONS,
    TRANSFORMED,
    VICTIMS,
    code,
)
from featpoison.graph.steps import Steps, Wildcards
from featpoison.graph.tables import Tables
from featpoison.records import provenance
from featpoison.results.defence_cells import DefenceRow
from featpoison.results.rows import Request, Row

FORMATS = ("csv", "tex", "pdf", "png")
PATTERNS = {"images": IMAGES, "encoder": ENCODER, "transformed": TRANSFORMED}
"""Of the files that defences read, by need."""
TRANSFORMING = tuple(name for name, one in defences.load_all().items() if one.transform)
"""The defences that transform images."""


class DefenceTables:
    """The table of defences of one configuration."""

    def __init__(self, config: Config) -> None:
        self.config, self.steps, self.tables = config, Steps(config), Tables(config)

    @property
    def files(self) -> list[str]:
        """All forms of the table; none without one."""
        if self.config.defence_table is None:
            return []
        return [f"{self.config.output}/defences.{form}" for form in FORMATS]

    @property
    def _table(self) -> DefenceTable:
        table = self.config.defence_table
        if table is None:
            raise ValueError("defence_table is null, expected the table that is asked for")
        return table

    # The steps that run a defence; without an attack in the path the training set is clean.

    def inputs(self, wildcards: Wildcards) -> dict[str, str | list[str]]:
        """The files that an evaluation reads, by the names of its arguments."""
        known = dict(wildcards.items())
        needs = defences.load(wildcards.defence).needs
        files: dict[str, str | list[str]] = {"features": FEATURES.format(**known)}
        files |= {need: PATTERNS[need].format(**known) for need in needs}
        if "attack" in known:
            files["poisons"] = self._poisons(wildcards)
        return files

    def _poisons(self, wildcards: Wildcards) -> list[str]:
        """The poisons of all seeds."""
        makes = self.steps.attack(wildcards).makes
        choice = self.steps.choice(wildcards).model_copy(update={"label": None})
        known = dict(wildcards.items()) | {"attack": choice.segment}
        pattern = POISONS if makes == "images" else POISONED_FEATURES
        return [pattern.format(**known, seed=seed) for seed in self.config.poison_seeds]

    def options(self, wildcards: Wildcards) -> list[str]:
        """The arguments of an evaluation, without seconds and output."""
        options = self._named(wildcards)
        options += ["--victims", self.config.victims.model_dump_json()]
        for name, found in self.inputs(wildcards).items():
            options += [f"--{name}", *([found] if isinstance(found, str) else found)]
        if hasattr(wildcards, "attack"):
            options += ["--poison-seeds", *map(str, self.config.poison_seeds)]
            options += ["--base-labels"] if self.steps.choice(wildcards).label == "base" else []
        return options

    def transform_options(self, wildcards: Wildcards) -> list[str]:
        """The arguments of the program that transforms clean images, without files."""
        return self._named(wildcards)

    def _named(self, wildcards: Wildcards) -> list[str]:
        defence = defences.load(wildcards.defence)
        settings = self.config.settings_of(defence).model_dump_json()
        return ["--defence", defence.name, "--settings", settings]

    def code_of(self, program: str) -> Callable[[Wildcards], str]:
        """The version of a program that runs the defence of a path: of the defences, that one alone
        counts."""

        def version(wildcards: Wildcards) -> str:
            return code(program, defences.module_of(wildcards.defence))

        return version

    # The table.

    def rows(self) -> list[DefenceRow]:
        """Attack by attack and budget by budget, one row for each defence that is tried there."""
        table = self._table
        return [
            self._row(row, budget, name)
            for row in table.rows
            for budget in table.budgets_of(row)
            for name in row.tried(table.defences)
        ]

    def _row(self, row: DefendedRow, budget: float, name: str) -> DefenceRow:
        scenario = self._table.scenario
        own = Row(**row.model_dump(exclude={"budgets", "defences"}) | {"scenario": scenario})
        known = {"attack": row.choice.segment, "budget": number(budget)}
        place = self.steps.of_scenario
        attack = Request(
            row=own,
            eps_d=budget,
            source=place(VICTIMS, scenario, defence=defences.NONE, **known),
            makes=row.attack.makes,
            title=self.tables.title(own),
        )
        return DefenceRow(
            attack=attack,
            defence=name,
            title=defences.load(name).title,
            source=place(DEFENDED_VICTIMS, scenario, defence=name, **known),
            clean=place(DEFENDED_HEADS, scenario, defence=name),
            seconds=place(DEFENCE_SECONDS, scenario, defence=name, **known),
        )

    def rows_json(self, wildcards: Wildcards) -> list[str]:
        """`rows` as the program wants them: each by itself, because a system takes arguments of 128 KiB at
        most."""
        return [provenance.canonical_json(row.model_dump(exclude_none=True)) for row in self.rows()]

    def result_files(self, wildcards: Wildcards) -> list[str]:
        """All result files that the table's numbers come from."""
        return sorted({path for row in self.rows() for path in row.files})

    def shared(self, pattern: str) -> Callable[[Wildcards], str]:
        """A file that all results of the table share: the features, the clean heads."""

        def path(wildcards: Wildcards) -> str:
            return self.steps.of_scenario(pattern, self._table.scenario)

        return path
