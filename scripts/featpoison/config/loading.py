"""Reading a configuration, and its schema."""

import json
import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Self

import pydantic
import yaml
from pydantic import model_validator

from featpoison.config.checks import check
from featpoison.config.declared import Declared
from featpoison.records.provenance import relative


class ConfigError(ValueError):
    """The configuration is wrong; the message names the file, the key, the value and what was expected."""


class Config(Declared):
    """One YAML file: everything that a run depends on."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        check(self)
        return self


def parse(values: dict, origin: str) -> Config:
    """The validated configuration of a file or several, `origin`.

    A table that is null is left out. Raises ConfigError with a line for each offending key: the file, the
    key, what was expected and the value.
    """
    if isinstance(tables := values.get("tables"), dict):
        values = values | {"tables": {name: one for name, one in tables.items() if one is not None}}
    try:
        # JSON mode: strict types, lists for tuples. What JSON does not know, such as dates, is a text there.
        return Config.model_validate_json(json.dumps(values, default=str))
    except pydantic.ValidationError as error:
        lines = [f"{origin}: {_line(item, values)}" for item in error.errors()]
        raise ConfigError("\n".join(lines)) from None


def load(*paths: Path) -> Config:
    """The configuration in a YAML file, or in several, each laid over those before it as Snakemake does.
    Raises ConfigError, or FileNotFoundError."""
    from snakemake.utils import update_config  # not at the top: settings alone do not need Snakemake

    values: dict = {}
    for path in paths:
        update_config(values, read(path))
    return parse(values, " + ".join(map(str, paths)))


def of_files(paths: Iterable[str | Path], values: dict) -> tuple[Config, str]:
    """The configuration in several files, which were put together as `values`, and the name that errors give
    it: those of the files. Raises ConfigError, also for a file that has a key twice."""
    files = [Path(path) for path in paths]
    for path in files:
        read(path)
    name = " + ".join(map(relative, files))
    return parse(values, name), name


def read(path: Path) -> dict:
    """What a YAML file holds, unchecked. Raises ConfigError for what is no YAML, no mapping, or has a key
    twice, of which YAML would drop the first; and FileNotFoundError."""
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _OnceEach)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" line {mark.line + 1}:" if mark else ""
        raise ConfigError(f"{path}:{where} {error.problem}, expected YAML with no key twice") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}, expected YAML in UTF-8") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: holds {_short(values)}, expected keys and values")
    return values


class _OnceEach(yaml.SafeLoader):
    """A loader of YAML that refuses a key which a mapping has already."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)  # before `<<` brings in keys that own ones may override
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                text = f"the key {key.value!r} is given twice"
                raise yaml.composer.ComposerError(None, None, text, key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        return node


def _line(item: Any, values: Any) -> str:
    """One error of pydantic: the key, what was expected, and the value unless it is a whole section."""
    key = _key(item["loc"], values, missing=item["type"] == "missing")
    message = item["msg"].removeprefix("Value error, ")
    whole = item["type"] == "value_error" and isinstance(item["input"], dict)
    found = "" if whole else f" (found {_short(item['input'])})"
    return f"{key}{': ' if key else ''}{' '.join(message.split())}{found}{_hint(item)}"


def _key(place: tuple[int | str, ...], values: Any, *, missing: bool) -> str:
    """The key in the YAML; pydantic's place also names the variant of a section that it took."""
    parts = []
    for number, part in enumerate(place, 1):
        absent = missing and number == len(place)
        inside = part in values if isinstance(values, dict) else isinstance(part, int)
        if inside or absent:
            parts.append(str(part))
            values = values[part] if inside and not absent else None
    return ".".join(parts)


def _hint(item: Any) -> str:
    """The nearest key that there is; how YAML wants a number written."""
    if item["type"] == "extra_forbidden":
        known = _known(item["loc"][:-1])
        near = get_close_matches(str(item["loc"][-1]), known, n=1, cutoff=0.5)
        return (
            f", the nearest known key is {near[0]!r}" if near else f", known are {', '.join(sorted(known))}"
        )
    if isinstance(item["input"], str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", item["input"]):
        return f", which YAML reads as a text: write {float(item['input']):.1e}"
    return ""


@cache
def _schema() -> dict[str, Any]:
    return Config.model_json_schema()


def _known(place: tuple[int | str, ...]) -> set[str]:
    """The keys that a section of the configuration has."""
    parts = _alternatives(_schema())
    for step in place:
        parts = [found for part in parts for found in _below(part, step)]
    return {key for part in parts for key in part.get("properties", {})}


def _below(part: dict[str, Any], step: int | str) -> list[dict[str, Any]]:
    """The schemas of what is under a key or at an index; the schema itself for the name of a variant."""
    named = part.get("properties", {})
    others = [*part.get("patternProperties", {}).values(), part.get("additionalProperties")]
    found = [named[step]] if step in named else [part.get("items")] if isinstance(step, int) else others
    below = [schema for one in found if isinstance(one, dict) for schema in _alternatives(one)]
    return below or [part]


def _alternatives(part: dict[str, Any]) -> list[dict[str, Any]]:
    """A schema with its references followed: several where it allows several."""
    if "$ref" in part:
        return _alternatives(_schema()["$defs"][part["$ref"].rpartition("/")[2]])
    several = [one for key in ("anyOf", "oneOf", "allOf") for one in part.get(key, [])]
    return [schema for one in several for schema in _alternatives(one)] if several else [part]


def _short(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def schema() -> str:
    """The JSON Schema of the YAML, each knob with its documentation."""
    return json.dumps(_schema(), indent=2, sort_keys=True) + "\n"
