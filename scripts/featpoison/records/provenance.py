"""Where a file comes from: digests, the code that made it, the environment, and the record that every product carries.

A record is plain JSON and holds nothing that depends on the clock, the host or the current directory, so products repeat byte for byte:

    {"program", "code", "inputs": {path: sha256}, "settings": {...}, "environment": {...}, "product": its path}

HDF5 and safetensors products carry it inside; text and pictures have it beside them in ``NAME.provenance.json`` (`write_sidecar`). Each form has a
seal over all of its bytes, so that a record cannot be changed, nor a product put in another's place, without anybody noticing. Seals are
digests, not signatures: they find accidents and edits, not somebody who makes new ones.
"""

import ast
import hashlib
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from featpoison.common.files import replacing

PACKAGE = Path(__file__).resolve().parents[1]
SCRIPTS = PACKAGE.parent
ROOT = SCRIPTS.parent
LIBRARIES = ("torch", "torchvision", "timm", "numpy", "h5py", "safetensors", "pydantic", "matplotlib", "snakemake")

Record = dict[str, Any]


def sha256_bytes(*parts: bytes) -> str:
    """Hex SHA-256 of the concatenation of `parts`."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes. Raises FileNotFoundError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def import_closure(program: Path) -> tuple[Path, ...]:
    """The program and every module of this package that it imports, directly or not, sorted.

    Read from the syntax tree, imports inside functions included; nothing is executed. These are a rule's code inputs: the program is
    rerun when one of them changes, and for no other change of code.
    """
    seen: set[Path] = set()
    queue = [program.resolve()]
    while queue:
        path = queue.pop()
        if path not in seen:
            seen.add(path)
            queue.extend(_imported_modules(path))
    return tuple(sorted(seen))


@cache
def _imported_modules(path: Path) -> frozenset[Path]:
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_bytes(), filename=str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found |= _module_files(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                found |= _module_files(f"{node.module}.{alias.name}")
    return frozenset(found)


@cache
def _module_files(dotted: str) -> frozenset[Path]:
    """Files that ``import dotted`` executes: each package's __init__ on the way, and the module itself where it is one."""
    parts = dotted.split(".")
    if parts[0] != PACKAGE.name:
        return frozenset()
    files = set()
    for depth in range(1, len(parts) + 1):
        stem = SCRIPTS.joinpath(*parts[:depth])
        files |= {file for file in (stem / "__init__.py", stem.with_suffix(".py")) if file.is_file()}
    return frozenset(files)


def code_version(program: Path) -> str:
    """One digest over the import closure of `program`: names relative to the repository and contents."""
    parts = (f"{relative(path)}:{sha256_file(path)}\n".encode() for path in import_closure(program))
    return sha256_bytes(*parts)


def relative(path: Path) -> str:
    """`path` as the record shows it: relative to the repository where it lies inside."""
    resolved = Path(path).resolve()
    return resolved.relative_to(ROOT).as_posix() if resolved.is_relative_to(ROOT) else Path(path).as_posix()


def environment(device: str) -> dict[str, str]:
    """Versions of the interpreter and the libraries, and the kind of processor (never its host name or count)."""
    versions = {"python": platform.python_version(), "machine": platform.machine(), "device": device}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def record(program: Path, inputs: Iterable[Path], settings: Mapping[str, Any], device: str) -> Record:
    """The provenance record of a product that `program` is about to make from `inputs` under `settings` (seeds included)."""
    return {
        "program": relative(program),
        "code": code_version(program),
        "inputs": {relative(path): sha256_file(path) for path in sorted(set(inputs))},
        "settings": json.loads(canonical_json(dict(settings))),
        "environment": environment(device),
    }


def of_product(entry: Record, path: Path) -> Record:
    """The record with the product's own path, where that lies in the repository: two products that changed places are told apart."""
    name = relative(path)
    return entry if Path(name).is_absolute() else entry | {"product": name}


def joint_device(records: Iterable[Record]) -> str:
    """The kinds of device behind several records, as one says it: sorted, `+` between."""
    return " + ".join(sorted({kind for record in records for kind in record["environment"]["device"].split(" + ")}))


def of_whole(shards: Sequence[Record]) -> list[Record]:
    """Each shard's record as the whole has it: without path and number, made by the devices of all. Equal where shards belong together."""
    device = joint_device(shards)
    settings = [{key: value for key, value in shard["settings"].items() if key != "shard"} for shard in shards]
    bare = [{key: value for key, value in shard.items() if key != "product"} for shard in shards]
    return [one | {"settings": own, "environment": one["environment"] | {"device": device}} for one, own in zip(bare, settings, strict=True)]


class RecordError(ValueError):
    """The record beside a product is damaged or was edited; the message names it."""


def sidecar(path: Path) -> Path:
    """Where the record of a text or a picture lies."""
    return path.with_name(path.name + ".provenance.json")


def write_sidecar(path: Path, entry: Record, bytes_at: Path | None = None) -> None:
    """Write the record beside `path`, sealed, with the digest of `path` itself, or of `bytes_at`, which is about to take its place."""
    with replacing(sidecar(path)) as temporary:
        temporary.write_text(_sealed({"sha256": sha256_file(bytes_at or path), **of_product(entry, path)}))


def read_sidecar(path: Path) -> Record:
    """The record beside the product `path`. Raises FileNotFoundError, or RecordError where a byte of it was changed."""
    beside = sidecar(path)
    content = beside.read_bytes()
    try:
        entry = json.loads(content)
        seal = entry.pop("seal", None)
    except (ValueError, AttributeError, TypeError) as error:
        raise RecordError(f"{relative(beside)}: damaged: {error}") from error
    if content != _sealed(entry).encode():
        raise RecordError(f"{relative(beside)}: the record was changed: its seal {seal} does not fit")
    return entry


def _sealed(entry: Record) -> str:
    """The text of a record beside its product: one form, so that the seal covers every byte."""
    return json.dumps(entry | {"seal": sha256_bytes(canonical_json(entry).encode())}, indent=1, sort_keys=True) + "\n"
