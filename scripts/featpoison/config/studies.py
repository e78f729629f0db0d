"""The stage ablation and the transfer matrix, as the YAML says them."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

import pydantic
from pydantic import Field, model_validator

from featpoison.attacks import names as attacks
from featpoison.attacks.choices import Pairing, Set
from featpoison.common.settings import Settings
from featpoison.config.encoders import Name
from featpoison.config.tables import Budget, Exact, TableRow


class Replaced(Settings):
    """What stands in the place of a stage: the fields of a row that differ from those of the full pipeline.

    A field that is not given is that of the full pipeline; null takes it away.
    """

    method: Annotated[str | None, Field(json_schema_extra={"enum": list(attacks.NAMES)})] = None
    """Attack."""
    set: Set | None = None
    """What its poisons are kept in, as in a row of a table."""
    cap: Exact | None = None
    """Norm cap of the set emittable."""
    beta: Exact | None = None
    """Weight of staying close to the base image."""
    pairing: Pairing | None = None
    """Where base images come from."""
    label: Literal["base"] | None = None
    """Whose labels the poisons have."""
    target: str | None = None
    """Target head."""


REPLACEABLE = {
    "target": {"target"},
    "canceling": {"method", "set", "cap", "target", "pairing"},
    "inversion": {"method", "beta", "pairing"},
    "label": {"label"},
}
"""The stages of a pipeline, and the fields of a row that belong to each. Another way of canceling may have no
target head, and has to be told the pairing where its own is another one."""


class Pipeline(Settings):
    """An attack in stages, and what stands in the place of one stage at a time."""

    full: TableRow
    """The whole pipeline."""
    target: tuple[Replaced, ...] = ()
    """Stage 1: other target heads."""
    canceling: tuple[Replaced, ...] = ()
    """Stage 2: other poisoned features."""
    inversion: tuple[Replaced, ...] = ()
    """Stage 3: other images, or none, where the method makes features."""
    label: tuple[Replaced, ...] = ()
    """Other labels."""

    @model_validator(mode="after")
    def _one_stage_at_a_time(self) -> Self:
        """The error names stage and row, counted from 0."""
        known = [self.full.choice]
        for stage, index, changed in self._changes():
            key = f"{stage}.{index}"
            if wrong := sorted(changed.model_fields_set - REPLACEABLE[stage]):
                expected = ", ".join(sorted(REPLACEABLE[stage]))
                raise ValueError(f"{key}: {wrong[0]!r} is no part of this stage, expected some of {expected}")
            try:
                row = self._row(changed)
            except pydantic.ValidationError as error:
                told = error.errors()[0]
                place = ".".join(map(str, (key, *told["loc"])))
                raise ValueError(f"{place}: {told['msg']}") from None
            if row.choice in known:
                raise ValueError(f"{key}: {row.choice.segment} is here already, expected another row")
            if stage != "inversion" and row.attack.pairing and self._paired(row) != self._paired(self.full):
                text = f"expected {self._paired(self.full)!r}, that of the full pipeline"
                raise ValueError(f"{key}: 'pairing' is {self._paired(row)!r}, {text}")
            known.append(row.choice)
        return self

    @property
    def rows(self) -> list[tuple[str, TableRow]]:
        """The stages by name, each with a row that has it replaced, in order."""
        return [(stage, self._row(changed)) for stage, _, changed in self._changes()]

    def _changes(self) -> Iterator[tuple[str, int, Replaced]]:
        for stage in REPLACEABLE:
            for index, changed in enumerate(getattr(self, stage)):
                yield stage, index, changed

    def _row(self, changed: Replaced) -> TableRow:
        own = changed.model_dump(include=changed.model_fields_set)
        return TableRow(**self.full.choice.model_dump() | own)

    def _paired(self, row: TableRow) -> str | None:
        return row.pairing or row.attack.pairing


class Ablation(Settings):
    """The table and the figure of the stage ablation."""

    scenario: Name = "fine-tuning"
    """Key of `scenarios`."""
    budget: Budget = 0.03
    """eps_d, of all rows."""
    pipelines: Annotated[tuple[Pipeline, ...], Field(min_length=1)]
    """Pipelines in order; each row is compared with the full one of its own."""

    @model_validator(mode="after")
    def _rows_fit(self) -> Self:
        for index, pipeline in enumerate(self.pipelines):
            for row in (pipeline.full, *(row for _, row in pipeline.rows)):
                check_alone(f"pipelines.{index}", row, ("features", "images"))
        return self


class TransferMatrix(Settings):
    """The transfer matrix: images that are made against one encoder, for victims on another."""

    dataset: Name
    """Data set of images and heads."""
    encoders: Annotated[tuple[Name, ...], Field(min_length=2)]
    """Encoders of the victims, the columns."""
    attacked: tuple[Name, ...] | None = None
    """Encoders that images are made against, the rows; null: all of `encoders`."""
    budget: Budget = 0.03
    """eps_d."""
    rows: Annotated[tuple[TableRow, ...], Field(min_length=1)]
    """Attacks that make images, a matrix each."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The encoders that images are made against."""
        return self.encoders if self.attacked is None else self.attacked

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for key, names in (("encoders", self.encoders), ("attacked", self.sources)):
            if not names or len(set(names)) < len(names):
                raise ValueError(f"{key}: {list(names)}, expected at least one and none twice")
        for index, row in enumerate(self.rows):
            check_alone(f"rows.{index}", row, ("images",))
        return self


def check_alone(key: str, row: TableRow, makes: tuple[str, ...]) -> None:
    """Raise ValueError, naming the row, where it makes something else, or says what belongs to tables."""
    if row.attack.makes not in makes:
        expected = f"expected an attack that makes {' or '.join(makes)}"
        raise ValueError(f"{key}: {row.method} makes {row.attack.makes}, {expected}")
    for name in ("budgets", "defence"):
        if getattr(row, name) is not None:
            raise ValueError(f"{key}: {name!r} is given, expected none outside tables")
