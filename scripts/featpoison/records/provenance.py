"""Where a file comes from: digests, the code that made it, the environment, and the record of every product.

A record is plain JSON. Nothing in it depends on the clock, the host or the current directory, so that
products repeat byte for byte:

    {"program", "code", "inputs": {path: sha256}, "settings": {...}, "environment": {...},
     "product": its path}

HDF5 and safetensors products carry their record inside. Texts and pictures have it beside them, in
`NAME.provenance.json` (`write_sidecar`). Each form has a seal over all of its bytes: a changed record, or a
product in another one's place, does not stay unnoticed. Seals are digests and not signatures. They find
accidents and edits, but nobody who makes new seals.
"""

import ast
import hashlib
import json
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from featpoison.common.files import replacing

PACKAGE = Path(__file__).resolve().parents[1]
SCRIPTS = PACKAGE.parent
ROOT = SCRIPTS.parent
LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "h5py",
    "safetensors",
    "pydantic",
    "matplotlib",
    "snakemake",
)

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
    """JSON with sorted keys and no spaces: equal values give equal bytes.

    Raises TypeError for what is not JSON.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def import_closure(program: Path, *chosen: Path) -> tuple[Path, ...]:
    """The program and every module of this package that it imports, directly or not, sorted by path.

    `chosen` are modules that the program imports by a name it is given, as the one attack that it runs.

    Imports are read from the syntax tree, those inside functions too, and nothing is executed. These files
    are the program's code: it runs again when one of them changes (`code_version`), and after no other change
    of code. Raises FileNotFoundError where the program does not exist.
    """
    seen: set[Path] = set()
    queue = [path.resolve() for path in (program, *chosen)]
    while queue:
        path = queue.pop()
        if path not in seen:
            seen.add(path)
            queue.extend(_imported_modules(path))
    return tuple(sorted(seen))


@cache
def _imported_modules(path: Path) -> frozenset[Path]:
    """Files of this package that the import statements of the file at `path` name."""
    names, _ = _read_source(path.read_bytes(), str(path))
    return frozenset().union(*map(_module_files, names))


@cache
def _read_source(content: bytes, filename: str) -> tuple[tuple[str, ...], str]:
    """The dotted names that a module imports, and the digest of its syntax (`syntax_digest`)."""
    tree, names = ast.parse(content, filename=filename), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    parts: list[str] = []
    _write_syntax(tree, parts.append)
    return tuple(names), sha256_bytes("".join(parts).encode())


def _write_syntax(value: Any, put: Callable[[str], None]) -> None:
    """The syntax tree as text, without strings that are statements: docstrings do nothing. Empty fields are
    left out, because each version of Python has others."""
    if isinstance(value, ast.AST):
        put(f"{type(value).__name__}(")
        for name, field in ast.iter_fields(value):
            if field is not None and field != []:
                put(f"{name}=")
                _write_syntax(field, put)
        put(")")
    elif isinstance(value, list):
        for one in value:
            if not (isinstance(one, ast.Expr) and _is_text(one.value)):
                _write_syntax(one, put)
                put(",")
    else:
        put(repr(value))


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def syntax_digest(path: Path) -> str:
    """Hex SHA-256 of what the interpreter makes of a module: comments, docstrings and layout change nothing.

    Raises FileNotFoundError, or SyntaxError for what is not Python.
    """
    return _read_source(path.read_bytes(), str(path))[1]


@cache
def _module_files(dotted: str) -> frozenset[Path]:
    """Files that `import dotted` executes: the __init__ of each package on the way, and the module itself.

    Empty for modules of other packages. A name within a module counts as no file.
    """
    parts = dotted.split(".")
    if parts[0] != PACKAGE.name:
        return frozenset()
    files = set()
    for depth in range(1, len(parts) + 1):
        stem = SCRIPTS.joinpath(*parts[:depth])
        files |= {file for file in (stem / "__init__.py", stem.with_suffix(".py")) if file.is_file()}
    return frozenset(files)


def module_file(dotted: str) -> Path:
    """The file of a module of this package. Raises FileNotFoundError where there is none."""
    path = SCRIPTS.joinpath(*dotted.split(".")).with_suffix(".py")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such module")
    return path


def code_version(program: Path, *chosen: Path) -> str:
    """One digest over `import_closure`: names relative to the repository, and the syntax of each module."""
    closure = import_closure(program, *chosen)
    return sha256_bytes(*(f"{relative(path)}:{syntax_digest(path)}\n".encode() for path in closure))


def code_of(entry: Record) -> tuple[Path, ...]:
    """The files of the code that a record names, as they are here: the program and the modules it chose, with
    what they import. Raises FileNotFoundError where one is no longer here."""
    return import_closure(ROOT / entry["program"], *(ROOT / name for name in entry.get("chosen", [])))


def code_is_current(entry: Record) -> bool:
    """Whether the code that a record names is the code that is here.

    Raises FileNotFoundError as `code_of`.
    """
    chosen = [ROOT / name for name in entry.get("chosen", [])]
    return code_version(ROOT / entry["program"], *chosen) == entry["code"]


def relative(path: Path) -> str:
    """The path as a record shows it: relative to the repository where it lies inside, else as it is."""
    resolved = Path(path).resolve()
    return resolved.relative_to(ROOT).as_posix() if resolved.is_relative_to(ROOT) else Path(path).as_posix()


def environment(device: str) -> dict[str, str]:
    """Versions of the interpreter and the libraries, and the kind of processor.

    `device` is the name of the GPU or CPU that computes. Neither the name of the host nor the number of
    processors is included: they do not change products.
    """
    versions = {"python": platform.python_version(), "machine": platform.machine(), "device": device}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def record(
    program: Path,
    inputs: Iterable[Path],
    settings: Mapping[str, Any],
    device: str,
    chosen: Iterable[Path] = (),
) -> Record:
    """The provenance record of the product that `program` is about to make from `inputs` under `settings`.

    `chosen` are the modules that it imports by name; the record names them where there are any. `settings`
    have to be JSON and include the seeds; `device` is the name of the GPU or CPU that computes. Raises
    FileNotFoundError for an input that does not exist.
    """
    modules = sorted(chosen)
    return {
        "program": relative(program),
        **({"chosen": [relative(path) for path in modules]} if modules else {}),
        "code": code_version(program, *modules),
        "inputs": {relative(path): sha256_file(path) for path in sorted(set(inputs))},
        "settings": json.loads(canonical_json(dict(settings))),
        "environment": environment(device),
    }


def of_product(entry: Record, path: Path) -> Record:
    """The record with the path of its product, where that lies in the repository.

    The path makes it visible when two products have changed places.
    """
    name = relative(path)
    return entry if Path(name).is_absolute() else entry | {"product": name}


def joint_device(records: Iterable[Record]) -> str:
    """The devices behind several records as one name: the sorted names, joined by " + "."""
    names = [record["environment"]["device"] for record in records]
    kinds = {kind for name in names for kind in name.split(" + ")}
    return " + ".join(sorted(kinds))


def of_whole(shards: Sequence[Record]) -> list[Record]:
    """The record of each shard as the whole product would have it.

    Path and shard number are left out, and the device is that of all shards. The results are equal where the
    shards belong together.
    """
    device = joint_device(shards)
    settings = [
        {key: value for key, value in shard["settings"].items() if key != "shard"} for shard in shards
    ]
    bare = [{key: value for key, value in shard.items() if key != "product"} for shard in shards]
    return [
        one | {"settings": own, "environment": one["environment"] | {"device": device}}
        for one, own in zip(bare, settings, strict=True)
    ]


class RecordError(ValueError):
    """The record beside a product is damaged or was edited. The message names the record."""


def sidecar(path: Path) -> Path:
    """The path of the record of a text or a picture."""
    return path.with_name(path.name + ".provenance.json")


def write_sidecar(path: Path, entry: Record, bytes_at: Path | None = None) -> None:
    """Write the sealed record of `path` beside it, with the digest of its contents.

    The contents are read from `bytes_at` where that is given: a file that is about to take the place of
    `path`. Raises NotWritten where the disk is full.
    """
    with replacing(sidecar(path)) as temporary:
        temporary.write_text(_sealed({"sha256": sha256_file(bytes_at or path), **of_product(entry, path)}))


def read_sidecar(path: Path) -> Record:
    """The record beside the product `path`.

    Raises FileNotFoundError, or RecordError where any byte was changed.
    """
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
    """The text of a record beside its product, in its one possible form, so that the seal covers every
    byte."""
    seal = sha256_bytes(canonical_json(entry).encode())
    return json.dumps(entry | {"seal": seal}, indent=1, sort_keys=True) + "\n"
