"""A crate as independent libraries see it: rocrate reads it, roc-validator holds it against the profiles.
Neither is given a network."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from featpoison.records.provenance import sha256_file
from helpers import ROOT
from rocrate.rocrate import ROCrate
from rocrate_validator import models, services
from rocrate_validator.utils.http import HttpRequester

CONTEXT = ROOT / "tests/oracles/ro-crate-1.1-context.json"


def issues(folder: Path, profile: str, monkeypatch: pytest.MonkeyPatch, cache: Path) -> list[str]:
    """What the validator finds wrong with the crate in `folder`: requirements of the profile and of those
    that it extends."""

    def get(_self, url: str, **_options: object) -> SimpleNamespace:
        assert url == "https://w3id.org/ro/crate/1.1/context", url
        text = CONTEXT.read_text()
        headers = {"Content-Type": "application/ld+json"}
        return SimpleNamespace(
            status_code=200,
            ok=True,
            headers=headers,
            text=text,
            content=text.encode(),
            json=lambda: json.loads(text),
        )

    monkeypatch.setattr(HttpRequester, "get", get, raising=False)
    settings = models.ValidationSettings(
        rocrate_uri=folder, profile_identifier=profile, requirement_severity="REQUIRED", cache_path=cache
    )
    result = services.validate(settings)
    found = [f"{issue.check.identifier}: {issue.message}" for issue in result.get_issues()]
    assert result.passed() == (not found)
    return found


def dangling(crate: ROCrate) -> list[str]:
    """References within the crate that lead nowhere."""
    known = {entity.id for entity in crate.get_entities()}

    def references(value: object) -> list[str]:
        if isinstance(value, dict):
            return [value["@id"]]
        return [one for part in value for one in references(part)] if isinstance(value, list) else []

    outside = ("https://w3id.org/ro/crate/", "http://schema.org/")
    properties = [
        value
        for entity in crate.get_entities()
        for key, value in entity.properties().items()
        if not key.startswith("@")
    ]
    return [
        name
        for value in properties
        for name in references(value)
        if name not in known and not name.startswith(outside)
    ]


def wrong_files(crate: ROCrate, folder: Path) -> list[str]:
    """File entities whose digest or size is not that of the file in `folder`."""
    files = [
        entity
        for entity in crate.get_entities()
        if "File" in entity.properties()["@type"] and "://" not in entity.id
    ]
    assert len(files) > 20
    return [
        entity.id
        for entity in files
        if (sha256_file(folder / entity.id), str((folder / entity.id).stat().st_size))
        != (entity.get("sha256"), entity.get("contentSize"))
    ]
