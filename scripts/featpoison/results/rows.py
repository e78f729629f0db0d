"""A row of a table: an attack with its choices, the defence between poisons and victims, and the scenario."""

import json
from typing import Annotated, Any

from pydantic import Field

from featpoison.attacks.choices import Choice, Makes, Tint
from featpoison.common.settings import Settings


class Row(Choice):
    """Which numbers a row shows. None where the attack has no such choice, and for no defence."""

    defence: str | None = None
    scenario: str | None = None

    @property
    def choice(self) -> Choice:
        """The attack's part."""
        return Choice(**{name: getattr(self, name) for name in Choice.model_fields})


def set_words(kept_in: str | float | None, cap: float | None) -> str:
    """A set as tables and pages show it, with its norm cap; nothing for no set."""
    if kept_in is None:
        return ""
    if isinstance(kept_in, str):
        return kept_in if cap is None else f"{kept_in} {cap:g}"
    return f"norm {kept_in:g}"


class Request(Settings):
    """What a cell shows, and the result file that it comes from."""

    row: Row
    eps_d: Annotated[float, Field(allow_inf_nan=True)]
    """Budget; infinite where the whole training set is perturbed."""
    source: str
    """Result file."""
    makes: Makes
    """What the attack makes, which says how its result file is read."""
    title: str
    """Of the row."""
    group: Tint = "none"
    """How the paper colours the row: heads and features, input space, attacks that aim at features."""


def read_request(values: dict[str, Any]) -> Request:
    """A request from what `json.loads` gave; eps_d may be "inf", which JSON has no number for. Raises
    ValueError."""
    return Request.model_validate_json(json.dumps(values | {"eps_d": float(values["eps_d"])}))
