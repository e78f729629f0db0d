"""The table of defences, as the YAML says it."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from featpoison.config.tables import Table, TableRow
from featpoison.defences import names as defences

DefenceName = Annotated[str, Field(json_schema_extra={"enum": list(defences.NAMES)})]


class DefendedRow(TableRow):
    """An attack in the table of defences."""

    # Not strict: a list stays a list when it has passed through `_usual_choices`.
    defences: Annotated[tuple[DefenceName, ...] | None, Field(strict=False)] = None
    """Those of the table's defences that are tried on it; null: all that can see what it makes."""

    @model_validator(mode="after")
    def _is_plain(self) -> Self:
        if self.defence is not None:
            raise ValueError(f"'defence' is {self.defence!r}, expected none: the table tries 'defences'")
        if self.attack.makes not in ("features", "images"):
            raise ValueError(
                f"'method' is {self.method!r}, which makes {self.attack.makes}; expected an attack that "
                "makes features or images"
            )
        return self

    def tried(self, all_of_them: tuple[str, ...]) -> tuple[str, ...]:
        """Of the table's defences those that are tried on the attack, in order."""
        chosen = all_of_them if self.defences is None else self.defences
        return tuple(name for name in chosen if self._sees(name))

    def _sees(self, name: str) -> bool:
        return self.attack.makes == "images" or not defences.load(name).of_images


class DefenceTable(Table):
    """The table of defences: each attack at each budget, behind each defence."""

    defences: Annotated[tuple[DefenceName, ...], Field(min_length=1)]
    """Defences in order. Those that look at images are left out for attacks that make features."""
    rows: Annotated[tuple[DefendedRow, ...], Field(min_length=1)]
    """Attacks in order."""

    @model_validator(mode="after")
    def _defences_exist(self) -> Self:
        for name in self.defences:
            if name not in defences.NAMES:
                raise ValueError(
                    f"defences: {name!r} is unknown, expected one of {', '.join(defences.NAMES)}"
                )
        if len(set(self.defences)) < len(self.defences):
            raise ValueError(f"defences: {list(self.defences)}, expected none twice")
        for row in self.rows:
            for name in row.defences or ():
                if name not in self.defences or name not in row.tried(self.defences):
                    text = f"expected some of the table's that see {row.attack.makes}"
                    raise ValueError(f"defences of a row of {row.method}: {name!r}, {text}")
        return self
