"""The base of every settings class: frozen, typed, strict about unknown keys."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Immutable settings; an unknown key or a wrong type is an error that names the key, the value and what was expected."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True)
