"""The lineage of products: their records, their inputs' records, and so on down to data that nothing here made; every digest checked.

What is held against what:

- a file against the digest that the record of each product made from it holds, or, where nothing was made from it, against its own seal;
- its record against the record's seal, and the product's path in the record against the path where it lies;
- an archive in `data/downloads/` against the digest of the archive that was used.

A record is followed to its inputs only while its own seal holds: what stands in a damaged record accuses nobody.
"""

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from featpoison import provenance, store, weights
from featpoison.digests import Digests
from featpoison.provenance import ROOT, Record

SOURCES = ("data/embedded/", "data/published/", "data/reference/")
DOWNLOADS = "data/downloads/"

Kind = Literal["product", "source", "download"]
Status = Literal["ok", "missing", "tampered", "outdated", "unverified", "absent"]


class AuditError(ValueError):
    """A product differs from its seal or its record; the message names the file and what differs."""


@dataclass
class Node:
    """A file of a lineage."""

    path: str
    kind: Kind
    status: Status = "ok"
    """missing: it is needed and not there; tampered: bytes, record or place are not what was recorded; outdated: made under settings that the
    configuration no longer has; unverified: a download that no published digest vouches for; absent: a download that is no longer kept."""
    sha256: str | None = None
    """As found; of a download that is absent, as recorded."""
    problems: list[str] = field(default_factory=list)
    record: Record | None = None
    """Of products whose record could be trusted."""
    inputs: dict[str, str] = field(default_factory=dict)
    """Digests by path, as recorded; downloads included."""

    def fail(self, status: Status, problem: str) -> None:
        """Note a problem; the gravest status stays."""
        self.status = status if self.status != "tampered" else self.status
        self.problems.append(f"{self.path}: {problem}")


@dataclass
class Lineage:
    """Files by path, and the paths asked for."""

    nodes: dict[str, Node]
    roots: list[str]

    def having(self, *statuses: Status) -> list[Node]:
        """The nodes in one of these states, by path."""
        return [self.nodes[name] for name in sorted(self.nodes) if self.nodes[name].status in statuses]

    @property
    def unverified(self) -> list[Node]:
        """Downloads trusted on first use, kept or not."""
        return [node for node in self.nodes.values() if node.kind == "download" and node.record and not node.record["verified"]]


def read_record(path: Path) -> Record | None:
    """The provenance record of any product, after checking the product against its own seal; None for a file that nothing here made.

    Raises AuditError where the product is damaged or differs from its record.
    """
    record = _own_record(path)
    if record is None:
        return None
    check_seal(path, record, provenance.sha256_file(path))
    return record


def check_seal(path: Path, record: Record, sha256: str) -> None:
    """Compare a product of digest `sha256` with its own seal; raises AuditError."""
    try:
        if path.suffix == ".h5" and not store.intact(path):
            store.verify(path)  # says what differs
        if path.suffix == ".safetensors":
            weights.verify(path)
    except (store.StoreError, weights.WeightsError) as error:
        raise AuditError(str(error).removeprefix(f"{path}: ")) from error
    if path.suffix not in (".h5", ".safetensors") and record.get("sha256") != sha256:
        raise AuditError(f"sha256 is {sha256}, its record says {record.get('sha256')}")


def _own_record(path: Path) -> Record | None:
    """The record in or beside a product; None where there is none. Raises AuditError where it cannot be read or its seal is broken."""
    try:
        if path.suffix == ".h5":
            return store.read_provenance(path)
        if path.suffix == ".safetensors":
            return weights.read_metadata(path).get("provenance")
        return provenance.read_sidecar(path) if provenance.sidecar(path).is_file() else None
    except (store.StoreError, weights.WeightsError, provenance.RecordError) as error:
        raise AuditError(str(error).removeprefix(f"{path}: ")) from error


def trace(paths: Iterable[Path], digests: Digests, only: Collection[str] | None = None) -> Lineage:
    """The checked lineage of `paths`, level by level; `only`: of the inputs of `paths` themselves just these."""
    roots = [provenance.relative(path) for path in paths]
    lineage, vouched = Lineage({}, roots), dict[str, set[str]]()
    level = dict.fromkeys(roots)
    while level:
        found = digests.of(level)
        following: dict[str, None] = {}
        for name in level:
            node = lineage.nodes[name] = _examine(name, found[name], vouched.get(name, set()), asked=name in roots)
            if only is not None and name in roots:
                node.inputs = {child: digest for child, digest in node.inputs.items() if child in only}
            for child, digest in node.inputs.items():
                vouched.setdefault(child, set()).add(digest)
                if child not in lineage.nodes:
                    following[child] = None
            for download in _downloads(node, digests):
                lineage.nodes.setdefault(download.path, download)
                node.inputs[download.path] = download.record["archive"] if download.record else ""
        level = {name: None for name in following if name not in lineage.nodes}
    _compare(lineage)
    return lineage


def _examine(name: str, sha256: str | None, recorded: set[str], *, asked: bool) -> Node:
    """The node of a file, checked as far as it can be alone."""
    node = Node(name, "source" if name.startswith(SOURCES) else "product", sha256=sha256)
    path = ROOT / name
    if sha256 is None:
        node.fail("missing", f"missing; {_expectation(recorded)}")
        return node
    if node.kind == "source":
        return node
    try:
        record = _own_record(path)
        if record is None:
            _without_record(node, asked=asked or not recorded)
            return node
        if sha256 not in recorded or path.suffix not in (".h5", ".safetensors"):
            check_seal(path, record, sha256)
    except AuditError as error:
        node.fail("tampered", str(error))
        return node
    node.record, node.inputs = record, dict(record.get("inputs", {}))
    if (product := record.get("product")) not in (None, name) and not Path(name).is_absolute():
        node.fail("tampered", f"was made as {product}, and lies in another's place")
    return node


def _expectation(recorded: set[str]) -> str:
    return f"recorded with sha256 {' and '.join(sorted(recorded))}" if recorded else "expected a product of this workflow"


def _without_record(node: Node, *, asked: bool) -> None:
    """A file without a record is somebody's own data where a product used it, and an error where it is asked about itself."""
    beside = provenance.sidecar(Path(node.path))
    if asked or node.path.startswith(("figures/", "data/")):
        node.fail("missing", f"has no provenance record ({beside} is missing); expected a product of this workflow")
    else:
        node.kind = "source"


def _downloads(node: Node, digests: Digests) -> list[Node]:
    """What a product was downloaded from; an archive that is one of its inputs is no download."""
    facts = (node.record or {}).get("download")
    if not facts:
        return []
    settings = (node.record or {}).get("settings", {})
    result = []
    for part, digest in facts.get("archives", {"": facts.get("archive")}).items():
        if digest in node.inputs.values():
            continue
        source = (settings.get("archives") or {}).get(part) or settings.get("archive") or settings
        name = str(source.get("url") or source.get("path") or part).rsplit("/", 1)[-1]
        verified = bool(facts.get("verified"))
        child = Node(f"{DOWNLOADS}{name}", "download", "ok" if verified else "unverified", digest)
        child.record = {"archive": digest, "verified": verified, "part": part, "url": source.get("url") or source.get("path")}
        found = digests.of([child.path])[child.path]
        if found is None and verified:
            child.status = "absent"
        if found not in (None, digest):
            child.sha256 = found
            child.fail("tampered", f"sha256 is {found}, the archive that {node.path} was made from had {digest}")
        result.append(child)
    return result


def _compare(lineage: Lineage) -> None:
    """Every file against what the products made from it recorded."""
    for consumer in sorted(lineage.nodes):
        for name, digest in lineage.nodes[consumer].inputs.items():
            node = lineage.nodes[name]
            if node.kind != "download" and node.sha256 is not None and node.sha256 != digest:
                whole = "" if node.status == "tampered" or node.kind == "source" else "; whole in itself: swapped or made anew since"
                node.fail("tampered", f"sha256 is {node.sha256}, {consumer} recorded {digest}{whole}")


@cache
def code_state(program: str, recorded: str) -> str:
    """Whether the code that made a product is the code that is here."""
    path = ROOT / program
    if not path.is_file():
        return "program no longer here"
    return "code unchanged since" if provenance.code_version(path) == recorded else "code has changed since"


def tree(lineage: Lineage) -> list[str]:
    """The lineage as an indented text; what was shown above is not followed again."""
    lines: list[str] = []
    seen: set[str] = set()
    for root in lineage.roots:
        _branch(lineage, root, 0, seen, lines.append)
    return lines


def _branch(lineage: Lineage, name: str, depth: int, seen: set[str], put: Callable[[str], None]) -> None:
    node, indent = lineage.nodes[name], "  " * depth
    digest = node.sha256[:12] if node.sha256 else "-"
    state = "" if node.status in ("ok", "unverified", "absent") else f" {node.status.upper()}"
    if node.kind == "download" and node.record:
        kept = "" if node.status != "absent" else ", not kept"
        verified = "verified" if node.record["verified"] else "UNVERIFIED, trusted on first use"
        part = f"{node.record['part']} " if node.record["part"] else ""
        put(f"{indent}archive {part}sha256 {node.record['archive']} ({verified}{kept}) {node.record['url'] or ''}{state}".rstrip())
        return
    if name in seen:
        put(f"{indent}{name} {digest} (above){state}")
        return
    seen.add(name)
    if node.record is None:
        put(f"{indent}{name} {digest}{' (source)' if node.kind == 'source' else ' (not followed)'}{state}")
        return
    put(f"{indent}{name} {digest} by {node.record['program']} ({code_state(node.record['program'], node.record['code'])}){state}")
    for child in node.inputs:
        _branch(lineage, child, depth + 1, seen, put)


def document(lineage: Lineage) -> str:
    """The lineage as JSON: `roots`, `nodes` with their records, `failures`, `unverified`."""
    nodes = [
        {
            "path": node.path,
            "kind": node.kind,
            "status": node.status,
            "sha256": node.sha256,
            "inputs": node.inputs,
            "problems": node.problems,
            "code_state": code_state(node.record["program"], node.record["code"]) if node.record and node.kind == "product" else None,
            "record": node.record,
        }
        for node in (lineage.nodes[name] for name in sorted(lineage.nodes))
    ]
    failures = [problem for node in lineage.having("tampered", "outdated", "missing") for problem in node.problems]
    unverified = [node.path for node in lineage.unverified]
    return json.dumps({"roots": lineage.roots, "nodes": nodes, "failures": failures, "unverified": unverified}, indent=1, sort_keys=True)
