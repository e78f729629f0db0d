"""The lineage of a product: its provenance record, its inputs' records, and so on down to data that nothing here made."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from featpoison import provenance, store, weights
from featpoison.provenance import ROOT, Record

SOURCES = ("data/embedded/", "data/published/", "data/reference/")


class AuditError(ValueError):
    """The first place where a lineage does not hold; the message names the file and what differs."""


def read_record(path: Path) -> Record | None:
    """The provenance record of any product, after checking the product against its own seal; None for a file that nothing here made.

    Raises AuditError where the product is damaged or differs from its record.
    """
    beside = provenance.sidecar(path)
    if path.suffix == ".h5":
        try:
            store.verify(path)
            return store.read_provenance(path)
        except store.StoreError as error:
            raise AuditError(str(error)) from error
    if path.suffix == ".safetensors":
        try:
            weights.verify(path)
            return weights.read_metadata(path).get("provenance")
        except weights.WeightsError as error:
            raise AuditError(str(error)) from error
    if not beside.is_file():
        return None
    try:
        record = json.loads(beside.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise AuditError(f"{beside}: damaged: {error}") from error
    found = provenance.sha256_file(path)
    if record.get("sha256") != found:
        raise AuditError(f"{path}: sha256 is {found}, its record says {record.get('sha256')}")
    return record


def audit(paths: Iterable[Path]) -> Iterator[str]:
    """The lineage of `paths` as lines of an indented tree; raises AuditError at the first digest that differs or file that is missing."""
    seen: set[str] = set()
    for path in paths:
        yield from _walk(path, None, 0, seen)
    yield f"{len(seen)} files checked, every digest agrees."


def _walk(path: Path, expected: str | None, depth: int, seen: set[str]) -> Iterator[str]:
    name, indent = provenance.relative(path), "  " * depth
    if not path.is_file():
        raise AuditError(f"{name}: missing; recorded with sha256 {expected}")
    found = provenance.sha256_file(path)
    if expected is not None and found != expected:
        raise AuditError(f"{name}: sha256 is {found}, recorded is {expected}")
    if name in seen:
        yield f"{indent}{name} {found[:12]} (above)"
        return
    seen.add(name)
    record = None if name.startswith(SOURCES) else read_record(path)
    if record is None:
        if depth == 0 and not name.startswith(SOURCES):
            raise AuditError(f"{name}: has no provenance record; expected a product of this workflow")
        yield f"{indent}{name} {found[:12]} (source)"
        return
    yield f"{indent}{name} {found[:12]} by {record['program']} ({_code_state(record)})"
    download = record.get("download")
    if download:
        state = "verified" if download.get("verified") else "UNVERIFIED, trusted on first use"
        for part, digest in download.get("archives", {"": download.get("archive")}).items():
            yield f"{indent}  archive {part}{' ' if part else ''}sha256 {digest} ({state})"
    for child, digest in record["inputs"].items():
        yield from _walk(ROOT / child, digest, depth + 1, seen)


def _code_state(record: Record) -> str:
    program = ROOT / record["program"]
    if not program.is_file():
        return "program no longer here"
    return "code unchanged since" if provenance.code_version(program) == record["code"] else "code has changed since"
