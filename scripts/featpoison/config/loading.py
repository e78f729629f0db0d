"""Reading a configuration, and its schema."""

import json
from pathlib import Path
from typing import Self

import pydantic
import yaml
from pydantic import model_validator

from featpoison.config.checks import check
from featpoison.config.declared import Declared


class ConfigError(ValueError):
    """The configuration is wrong; the message names the file, the key, the value and what was expected."""


class Config(Declared):
    """One YAML file: everything that a run depends on."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        check(self)
        return self


def parse(values: dict, origin: str) -> Config:
    """The validated configuration; ConfigError lists each offending key with its value and the
    expectation."""
    try:
        return Config.model_validate_json(json.dumps(values))  # JSON mode: strict types, lists for tuples
    except pydantic.ValidationError as error:
        lines = [
            f"  {'.'.join(map(str, item['loc'])) or 'configuration'}: {item['msg']} (found "
            f"{_short(item['input'])})"
            for item in error.errors()
        ]
        raise ConfigError("\n".join([f"{origin}: the configuration does not fit", *lines])) from None


def load(path: Path) -> Config:
    """The configuration in a YAML file. Raises ConfigError, or FileNotFoundError."""
    return parse(yaml.safe_load(path.read_text()), str(path))


def _short(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def schema() -> str:
    """The JSON Schema of the YAML, each knob with its documentation."""
    return json.dumps(Config.model_json_schema(), indent=2, sort_keys=True) + "\n"
