"""The lineage of products: their records, their inputs' records, and so on down to data that nothing here
made; every digest checked.

What is held against what:

- a file against the digest that the record of each product made from it holds, or, where nothing was made
  from it, against its own seal;
- its record against the record's seal, and the product's path in the record against the path where it lies;
- an archive in `data/downloads/` against the digest of the archive that was used.

A record is followed to its inputs only while its own seal holds: what stands in a damaged record accuses
nobody.
"""

import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from featpoison import store
from featpoison.audit.digests import Digests
from featpoison.records import provenance, seal
from featpoison.records.provenance import Record, canonical_json

SOURCES = ("data/embedded/", "data/published/", "data/reference/")
DOWNLOADS = "data/downloads/"
# Other files without a record may be somebody's own: archives, weights, pictures.
WITH_SIDECAR = (
    ".csv",
    ".tex",
    ".md",
    ".json",
    ".pdf",
)

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
    """missing: it is needed and not there; tampered: bytes, record or place are not what was recorded;
    outdated: made under settings that the configuration no longer has; unverified: a download that no
    published digest vouches for; absent: a download that is no longer kept."""
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
        return [
            node
            for node in self.nodes.values()
            if node.kind == "download" and node.record and not node.record["verified"]
        ]


def read_record(path: Path, sha256: str | None = None, *, vouched: bool = False) -> Record | None:
    """The provenance record of any product, after checking product and record against their seals; None for a
    file that nothing here made.

    `sha256`: the file's digest, where it is known; `vouched`: that digest stands in the record of a product
    made from the file, which seals every byte of it. Raises AuditError where the product is damaged or
    differs from its record.
    """
    try:
        if path.suffix == ".h5":
            if not vouched and not store.intact(path):
                store.verify(path)  # says what differs
            return store.read_provenance(path)
        if path.suffix == ".safetensors":
            if not vouched:
                seal.verify(path)
            return seal.read_metadata(path).get("provenance")
        if not provenance.sidecar(path).is_file():
            return None
        record = provenance.read_sidecar(path)
    except (store.StoreError, seal.WeightsError, provenance.RecordError) as error:
        raise AuditError(str(error).removeprefix(f"{path}: ")) from error
    found = sha256 or provenance.sha256_file(path)
    if record.get("sha256") != found:
        raise AuditError(f"sha256 is {found}, its record says {record.get('sha256')}")
    return record


def trace(
    paths: Iterable[Path], digests: Digests, only: Mapping[str, Collection[str]] | None = None
) -> Lineage:
    """The checked lineage of `paths`, level by level; `only`: of these products just these inputs."""
    roots = [name_of(path) for path in paths]
    lineage, vouched = Lineage({}, roots), dict[str, set[str]]()
    level = dict.fromkeys(roots)
    while level:
        found = digests.of(level)
        following: dict[str, None] = {}
        for name in level:
            node = lineage.nodes[name] = _examine(
                name, found[name], vouched.get(name, set()), asked=name in roots
            )
            if only and name in only:
                node.inputs = {child: digest for child, digest in node.inputs.items() if child in only[name]}
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


def name_of(path: Path) -> str:
    """A path as records have it: relative to the repository also where a folder of it is a link to somewhere
    else."""
    absolute = Path(os.path.abspath(path))
    return (
        absolute.relative_to(provenance.ROOT).as_posix()
        if absolute.is_relative_to(provenance.ROOT)
        else provenance.relative(absolute)
    )


def _examine(name: str, sha256: str | None, recorded: set[str], *, asked: bool) -> Node:
    """The node of a file, checked as far as it can be alone."""
    node = Node(name, "source" if name.startswith(SOURCES) else "product", sha256=sha256)
    path = provenance.ROOT / name
    if sha256 is None:
        expected = (
            f"recorded with sha256 {' and '.join(sorted(recorded))}"
            if recorded
            else "expected a product of this workflow"
        )
        node.fail("missing", f"missing; {expected}")
        return node
    try:
        if node.kind == "source":
            _check_copy(path, sha256)
            return node
        node.record = read_record(path, sha256, vouched=sha256 in recorded)
    except AuditError as error:
        node.fail("tampered", str(error))
        return node
    if node.record is None:
        if asked or not recorded or path.suffix in WITH_SIDECAR:
            node.fail(
                "missing",
                f"has no provenance record ({provenance.sidecar(path).name} is missing); expected a product "
                "of this workflow",
            )
        else:
            node.kind = "source"
        return node
    node.inputs = dict(node.record.get("inputs", {}))
    if (product := node.record.get("product")) not in (None, name) and not Path(name).is_absolute():
        node.fail("tampered", f"was made as {product} and lies in another's place")
    return node


def _check_copy(path: Path, sha256: str) -> None:
    """A reference result is a copy of a product, with the record of that one beside it: the digest is
    compared, the record not followed."""
    beside = provenance.sidecar(path)
    try:
        record = json.loads(beside.read_text()) if beside.is_file() else {"sha256": sha256}
        # Older ones have no seal.
        expected = (provenance.read_sidecar(path) if "seal" in record else record).get("sha256")
    except (ValueError, AttributeError, TypeError) as error:
        raise AuditError(f"{beside.name}: damaged: {error}") from error
    if expected != sha256:
        raise AuditError(f"sha256 is {sha256}, its record says {expected}")


def _downloads(node: Node, digests: Digests) -> list[Node]:
    """What a product was downloaded from; an archive that is one of its inputs is no download."""
    facts, settings = ((node.record or {}).get(key) or {} for key in ("download", "settings"))
    archives = facts.get("archives") or ({"": facts["archive"]} if "archive" in facts else {})
    result = []
    for part, digest in archives.items():
        if digest in node.inputs.values():
            continue
        source = (
            (settings.get("archives") or {}).get(part) or {} if part else settings.get("archive") or settings
        )
        origin = str(source.get("url") or source.get("path") or part or "unknown")
        verified = bool(facts.get("verified"))
        folder = settings.get("format") == "image-folder"
        child = Node(
            origin if folder else f"{DOWNLOADS}{origin.rsplit('/', 1)[-1]}",
            "download",
            "ok" if verified else "unverified",
            digest,
        )
        child.record = {"archive": digest, "verified": verified, "part": part, "origin": origin}
        found = _folder_digest(provenance.ROOT / origin) if folder else digests.of([child.path])[child.path]
        if found is None and verified:
            child.status = "absent"
        if found not in (None, digest):
            child.sha256 = found
            child.fail("tampered", f"sha256 is {found}, what {node.path} was made from had {digest}")
        result.append(child)
    return result


def _folder_digest(folder: Path) -> str | None:
    from featpoison.datasets import image_folder

    return image_folder.check(folder, None) if folder.is_dir() else None


def _compare(lineage: Lineage) -> None:
    """Every file against what the products made from it recorded."""
    for consumer in sorted(lineage.nodes):
        for name, digest in lineage.nodes[consumer].inputs.items():
            node = lineage.nodes[name]
            if node.kind != "download" and node.sha256 is not None and node.sha256 != digest:
                whole = (
                    ""
                    if node.status == "tampered" or node.kind == "source"
                    else "; whole in itself: swapped or made anew since"
                )
                node.fail("tampered", f"sha256 is {node.sha256}, {consumer} recorded {digest}{whole}")


def code_state(record: Record) -> str:
    """Whether the code that made a product is the code that is here."""
    return _code_state(
        canonical_json({key: record.get(key) for key in ("program", "chosen", "code") if record.get(key)})
    )


@cache
def _code_state(text: str) -> str:
    try:
        return (
            "code unchanged since"
            if provenance.code_is_current(json.loads(text))
            else "code has changed since"
        )
    except FileNotFoundError:
        return "program no longer here"


def tree(lineage: Lineage) -> list[str]:
    """The lineage as an indented text; what was shown above is not followed again."""
    lines: list[str] = []
    seen: set[str] = set()
    for root in lineage.roots:
        if root not in seen:
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
        put(
            f"{indent}archive {part}sha256 {node.record['archive']} ({verified}{kept}) "
            f"{node.record['origin']}{state}".rstrip()
        )
        return
    if name in seen:
        put(f"{indent}{name} {digest} (above){state}")
        return
    seen.add(name)
    if node.record is None:
        put(f"{indent}{name} {digest}{' (source)' if node.kind == 'source' else ' (not followed)'}{state}")
        return
    put(f"{indent}{name} {digest} by {node.record['program']} ({code_state(node.record)}){state}")
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
            "code_state": code_state(node.record) if node.record and node.kind == "product" else None,
            "record": node.record,
        }
        for node in (lineage.nodes[name] for name in sorted(lineage.nodes))
    ]
    failures = [
        problem for node in lineage.having("tampered", "outdated", "missing") for problem in node.problems
    ]
    unverified = [node.path for node in lineage.unverified]
    return json.dumps(
        {"roots": lineage.roots, "nodes": nodes, "failures": failures, "unverified": unverified},
        indent=1,
        sort_keys=True,
    )
