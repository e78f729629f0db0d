"""The base of every settings class: frozen, typed, strict about unknown keys."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Immutable settings. An unknown key or a wrong type is a pydantic.ValidationError, a kind of ValueError.

    Its message names the key, the value and what was expected. Every field is documented by the string below
    it.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
