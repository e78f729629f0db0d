"""Ways to change products of a finished run behind the audit's back, and what the audit says of it."""

import csv
import io
import json
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from featpoison import store
from featpoison.audit.digests import Digests
from featpoison.audit.lineage import Lineage, trace
from featpoison.records import provenance, seal

SIDECAR = ".provenance.json"
Change = tuple[str, dict[Path, bytes], set[str]]
"""What was done, the new bytes by file, and the products that the audit has to name."""


class Finished:
    """The files of a finished run, and who is made from whom."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        names = sorted(
            path for part in ("data", "figures") for path in (folder / part).rglob("*") if path.is_file()
        )
        self.files = [path for path in names if not path.name.startswith(".")]
        self.products = [
            path
            for path in self.files
            if SIDECAR not in path.name and "data/embedded" not in str(path) and "data/pub" not in str(path)
        ]
        self.lineage = trace(self.products, Digests(full=True))
        self.by_kind: dict[str, list[Path]] = {}
        for path in self.files:
            self.by_kind.setdefault(SIDECAR if path.name.endswith(SIDECAR) else path.suffix, []).append(path)

    def name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix().removesuffix(SIDECAR)

    def root(self, generator: np.random.Generator, names: set[str]) -> list[Path]:
        """What to audit so that the changed products are in the lineage: themselves, or a product that was
        made from them."""
        made = {name for name, node in self.lineage.nodes.items() if names <= node.inputs.keys()}
        own = sorted(name for name in names if self.lineage.nodes[name].kind == "product")
        choices = [own] if len(own) == len(names) else []
        choices += [[name] for name in sorted(made)]
        return [self.folder / name for name in choices[generator.integers(len(choices))]]


def flipped(run: Finished, generator: np.random.Generator) -> Change:
    """Some bits of one byte, anywhere in any file of any kind."""
    kinds = sorted(run.by_kind)
    kind = kinds[generator.integers(len(kinds))]
    path = run.by_kind[kind][generator.integers(len(run.by_kind[kind]))]
    content = bytearray(path.read_bytes())
    place = int(generator.integers(len(content)))
    content[place] ^= int(generator.integers(1, 256))
    return f"byte {place} of {path}", {path: bytes(content)}, {run.name(path)}


def edited_number(run: Finished, generator: np.random.Generator) -> Change:
    """One number of a table, by a digit."""
    path = run.by_kind[".csv"][-1]
    rows = list(csv.reader(io.StringIO(path.read_text())))
    cells = [
        (row, column)
        for row in range(1, len(rows))
        for column, text in enumerate(rows[row])
        if text and text[-1].isdigit() and "/" not in text
    ]
    row, column = cells[generator.integers(len(cells))]
    text = rows[row][column]
    rows[row][column] = text[:-1] + str((int(text[-1]) + int(generator.integers(1, 10))) % 10)
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(rows)
    return f"{rows[0][column]} {text} in {path}", {path: lines.getvalue().encode()}, {run.name(path)}


def swapped(run: Finished, generator: np.random.Generator) -> Change:
    """Two products of a kind in each other's place, with their records."""
    kinds = [kind for kind in (".h5", ".safetensors", ".png", ".pdf") if len(_products(run, kind)) > 1]
    kind = kinds[generator.integers(len(kinds))]
    one, other = (
        _products(run, kind)[index] for index in generator.choice(len(_products(run, kind)), 2, replace=False)
    )
    changes = {one: other.read_bytes(), other: one.read_bytes()}
    if provenance.sidecar(one).is_file():
        changes |= {
            provenance.sidecar(one): provenance.sidecar(other).read_bytes(),
            provenance.sidecar(other): provenance.sidecar(one).read_bytes(),
        }
    return f"{one} and {other} swapped", changes, {run.name(one), run.name(other)}


def _products(run: Finished, kind: str) -> list[Path]:
    return [path for path in run.by_kind.get(kind, []) if path in run.products]


def edited_setting(run: Finished, generator: np.random.Generator) -> Change:
    """A setting in a record, changed after the fact by somebody who makes the digests new that lie beside
    it, and not the seal over all."""
    having = [path for path in run.products if run.lineage.nodes[run.name(path)].record["settings"]]
    path = having[generator.integers(len(having))]
    record = json.loads(json.dumps(run.lineage.nodes[run.name(path)].record))
    keys = sorted(record["settings"])
    key = keys[generator.integers(len(keys))]
    record["settings"][key] = 7 if record["settings"][key] != 7 else 8
    what = f"{key} in the record of {path}"
    if path.suffix == ".h5":
        return what, {path: _with_attribute(path, record)}, {run.name(path)}
    if path.suffix == ".safetensors":
        return what, {path: _with_metadata(path, record)}, {run.name(path)}
    beside = provenance.sidecar(path)
    seal = json.loads(beside.read_text())["seal"]
    return (
        what,
        {beside: (json.dumps(record | {"seal": seal}, indent=1, sort_keys=True) + "\n").encode()},
        {run.name(path)},
    )


def _with_attribute(path: Path, record: dict) -> bytes:
    original = path.read_bytes()
    try:
        with h5py.File(path, "r+") as file:
            file.attrs["provenance"] = provenance.canonical_json(record)
            file.attrs["content"] = store._content_digest(file)
        return path.read_bytes()
    finally:
        path.write_bytes(original)


def _with_metadata(path: Path, record: dict) -> bytes:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"]["provenance"] = provenance.canonical_json(record)
    text = provenance.canonical_json(header).encode()
    assert seal.SEALS[1] in header["__metadata__"]
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


@contextmanager
def applied(changes: dict[Path, bytes]) -> Iterator[None]:
    """The changed files in place, and the old ones again at the end."""
    before = {path: path.read_bytes() for path in changes}
    assert any(before[path] != content for path, content in changes.items())
    try:
        for path, content in changes.items():
            path.write_bytes(content)
        yield
    finally:
        for path, content in before.items():
            path.write_bytes(content)


def undetected(
    run: Finished, ways: list[Callable[[Finished, np.random.Generator], Change]], cases: int, seed: int
) -> list[str]:
    """Of so many random changes, one after the other, those where the audit does not name just the changed
    products as tampered."""
    generator = np.random.default_rng(seed)
    wrong = []
    for case in range(cases):
        what, changes, names = ways[case % len(ways)](run, generator)
        with applied(changes):
            found = trace(run.root(generator, names), Digests(full=bool(case % 2)))
        if named(found) != names or found.having("missing"):
            wrong.append(f"{what}: named are {named(found)}")
    return wrong


def named(found: Lineage) -> set[str]:
    """The tampered files; each of them has a line that starts with its name."""
    nodes = found.having("tampered")
    assert all(problem.startswith(node.path) for node in nodes for problem in node.problems)
    return {node.path for node in nodes}


def sealed_anew(folder: Path, name: str) -> None:
    """Give an edited file of a run a record whose seals fit, as a forger would."""
    entry = json.loads((folder / f"{name}.provenance.json").read_text())
    record = {key: entry[key] for key in entry if key not in ("seal", "sha256")}
    (folder / "forge.py").write_text(
        "import sys; sys.path.insert(0, 'scripts')\n"
        "from pathlib import Path\nfrom featpoison.records.provenance import write_sidecar\n"
        f"write_sidecar(Path({name!r}), {record!r})\n"
    )
    subprocess.run([sys.executable, "forge.py"], cwd=folder, check=True)
