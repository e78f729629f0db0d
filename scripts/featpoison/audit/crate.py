"""A lineage as a Workflow Run RO-Crate (https://w3id.org/ro/wfrun/, RO-Crate 1.1), with an action for each
job as its provenance profile has it.

The workflow is the Snakefile, a tool is a program of `scripts/`, a job a CreateAction of its tool: inputs and
settings are its objects, products its results. Digests are those of the lineage; times and resources those of
the jobs (`snakemake_metadata.py`), left out where they are unknown.
"""

import hashlib
import mimetypes
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from featpoison.audit.lineage import Lineage, Node, code_state
from featpoison.audit.snakemake_metadata import USAGE, Job, job_of
from featpoison.records import provenance
from featpoison.records.provenance import Record, canonical_json

Entity = dict[str, Any]
CONTEXT = [
    "https://w3id.org/ro/crate/1.1/context",
    {
        "sha256": "http://schema.org/sha256",
        "resourceUsage": "https://w3id.org/ro/terms/workflow-run#resourceUsage",
    },
]
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
PYTHON = "text/x-python"
LICENSE = "https://spdx.org/licenses/MIT"
PAPER = "https://doi.org/10.48550/arXiv.2402.12626"
UNITS = {"s": "http://qudt.org/vocab/unit/SEC", "MiB": "http://qudt.org/vocab/unit/MebiBYTE"}
TYPES = {
    ".h5": "application/x-hdf5",
    ".safetensors": "application/octet-stream",
    ".tex": "application/x-tex",
    ".md": "text/markdown",
}


class Crate:
    """Entities by identifier, each once."""

    def __init__(self) -> None:
        self.entities: dict[str, Entity] = {}

    def add(self, identifier: str, kind: str | list[str], /, **properties: Any) -> Entity:
        """The reference to an entity; properties without a value are left out. What is there already
        stays."""
        known = {key: value for key, value in properties.items() if value not in (None, [], "")}
        known = {
            key: value[0] if isinstance(value, list) and len(value) == 1 else value
            for key, value in known.items()
        }
        self.entities.setdefault(identifier, {"@id": identifier, "@type": kind, **known})
        return {"@id": identifier}

    def value(self, name: str, value: Any, /, **properties: Any) -> Entity:
        """A named value; equal ones are one entity."""
        text = (
            value
            if isinstance(value, str | int | float) and not isinstance(value, bool)
            else canonical_json(value)
        )
        return self.add(
            f"#value-{_short([name, text, properties])}", "PropertyValue", name=name, value=text, **properties
        )


def _short(value: Any) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:12]


def crate_of(lineage: Lineage, name: str) -> Entity:
    """The metadata document of a crate whose root is the repository. The lineage has to be whole."""
    crate = Crate()
    references = {path: _file(crate, node) for path, node in lineage.nodes.items()}
    jobs = _jobs(lineage)
    actions = [
        _action(crate, number, record, names, references) for number, (record, names) in enumerate(jobs, 1)
    ]
    used = {child for node in lineage.nodes.values() for child in node.inputs}
    given = [references[path] for path in sorted(used) if lineage.nodes[path].kind != "product"]
    times = [crate.entities[action["@id"]] for action in actions]
    start, end = (
        pick((time[key] for time in times if key in time), default=None)
        for pick, key in ((min, "startTime"), (max, "endTime"))
    )
    run = crate.add(
        "#run",
        "CreateAction",
        name=name,
        description="The jobs of the workflow that made the products.",
        instrument=_workflow(crate, jobs),
        object=given,
        result=[references[root] for root in lineage.roots],
        startTime=start,
        endTime=end,
        actionStatus="http://schema.org/CompletedActionStatus",
    )
    _organize(crate, jobs, actions, run)
    _root(crate, name, [run, *actions], end)
    return {"@context": CONTEXT, "@graph": list(crate.entities.values())}


def _jobs(lineage: Lineage) -> list[tuple[Record, list[str]]]:
    """Each job once, with all of its products in the lineage; inputs before what is made from them."""
    jobs: dict[str, tuple[Record, list[str]]] = {}
    done: set[str] = set()

    def visit(name: str) -> None:
        if name in done:
            return
        done.add(name)
        node = lineage.nodes[name]
        for child in node.inputs:
            visit(child)
        if node.kind == "product" and node.record:
            shared = {key: value for key, value in node.record.items() if key not in ("product", "sha256")}
            jobs.setdefault(
                _short([shared, name if node.path.startswith("data/") else ""]), (node.record, [])
            )[1].append(name)

    for root in lineage.roots:
        visit(root)
    return list(jobs.values())


def _file(crate: Crate, node: Node) -> Entity:
    """A file of the repository, or an archive at its address."""
    if node.kind == "download" and node.record:
        trust = (
            "verified by a published digest"
            if node.record["verified"]
            else "no published digest: trusted on first use"
        )
        origin = str(node.record["origin"])
        if "://" not in origin:  # a folder of one's own images; the digest is that of its list of digests
            return crate.add(
                f"{origin.rstrip('/')}/",
                "Dataset",
                name=origin,
                description=f"Images; {trust}.",
                identifier=node.record["archive"],
            )
        name, digest = origin.rsplit("/", 1)[-1], node.record["archive"]
        return crate.add(
            origin,
            "File",
            name=name,
            description=f"Download; {trust}.",
            sha256=digest,
            encodingFormat=_media_type(name),
        )
    path = provenance.ROOT / node.path
    size = str(path.stat().st_size)
    reference = crate.add(
        node.path,
        "File",
        name=path.name,
        sha256=node.sha256,
        contentSize=size,
        encodingFormat=_media_type(path.name),
    )
    if node.kind == "product" and (beside := provenance.sidecar(path)).is_file():
        _source(
            crate,
            provenance.sidecar(Path(node.path)).as_posix(),
            [],
            name=beside.name,
            about=reference,
            encodingFormat="application/json",
        )
    return reference


def _media_type(name: str) -> str:
    kind, packing = mimetypes.guess_type(name)
    return (
        TYPES.get(Path(name).suffix)
        or (f"application/x-{packing}" if packing else kind)
        or "application/octet-stream"
    )


def _source(crate: Crate, path: str, kind: list[str], **properties: Any) -> Entity:
    """A file of code, or a record."""
    if path in crate.entities:
        return {"@id": path}
    whole = provenance.ROOT / path
    size, digest = str(whole.stat().st_size), provenance.sha256_file(whole)
    return crate.add(path, ["File", *kind] if kind else "File", sha256=digest, contentSize=size, **properties)


def _tool(crate: Crate, record: Record) -> Entity:
    """The program in the version that made a product: the file that is here, or another version of it."""
    program, code, chosen = record["program"], record["code"], record.get("chosen", [])
    description = "Version: a digest over the program and all modules of the library that it imports."
    if code_state(record) == "code unchanged since":
        closure = [provenance.relative(path) for path in provenance.code_of(record)]
        modules = [
            _source(crate, name, [], name=name, encodingFormat=PYTHON) for name in closure if name != program
        ]
        known = {"version": code, "description": description, "encodingFormat": PYTHON}
        if not chosen:
            return _source(crate, program, ["SoftwareSourceCode"], name=program, hasPart=modules, **known)
        # One program with each attack that it runs is a tool of its own: other modules, another version.
        own = _source(crate, program, [], name=program, encodingFormat=PYTHON)
        return crate.add(
            f"#{program}-{'-'.join(Path(module).stem for module in chosen)}",
            "SoftwareSourceCode",
            name=f"{program} with {', '.join(chosen)}",
            hasPart=[own, *modules],
            **known,
        )
    return crate.add(
        f"#{program}-{code[:12]}",
        "SoftwareSourceCode",
        name=f"{program} (another version)",
        version=code,
        description=description,
    )


def _action(
    crate: Crate, number: int, record: Record, names: list[str], references: dict[str, Entity]
) -> Entity:
    """A job."""
    job = job_of(provenance.ROOT, names[0])
    inputs = [
        references[path]
        for path in references
        if path in record["inputs"] or _is_download_of(record, references[path])
    ]
    values = [crate.value(key, value) for key, value in sorted(_flat(record["settings"]))]
    values += [
        crate.value(f"environment.{key}", value) for key, value in sorted(record["environment"].items())
    ]
    return crate.add(
        f"#job-{number}",
        "CreateAction",
        name=f"{Path(record['program']).stem}: {names[0]}",
        description=f"Made by {record['program']}" + (f", rule {job.rule}" if job.rule else ""),
        instrument=_tool(crate, record),
        object=[*inputs, *values],
        result=[references[name] for name in names],
        startTime=job.start,
        endTime=job.end,
        resourceUsage=_usage(crate, number, job),
        actionStatus="http://schema.org/CompletedActionStatus",
    )


def _is_download_of(record: Record, reference: Entity) -> bool:
    """Whether a file is an archive that the record's product was made from."""
    return "://" in reference["@id"] and reference["@id"] in canonical_json(record["settings"])


def _usage(crate: Crate, number: int, job: Job) -> list[Entity]:
    return [
        crate.add(
            f"#job-{number}-{column}",
            "PropertyValue",
            name=USAGE[column][0],
            propertyID=f"https://snakemake.readthedocs.io/en/stable/tutorial/additional_features.html#{column}",
            value=str(value),
            unitCode=UNITS[USAGE[column][1]],
        )
        for column, value in job.usage.items()
    ]


def _flat(values: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Nested settings by dotted names."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _steps(jobs: list[tuple[Record, list[str]]]) -> dict[str, Record]:
    """The steps of the workflow: each version of a program that made something, by name."""
    return {f"#step-{Path(record['program']).stem}-{record['code'][:12]}": record for record, _ in jobs}


def _workflow(crate: Crate, jobs: list[tuple[Record, list[str]]]) -> Entity:
    """The Snakefile with its steps and tools."""
    language = crate.add(
        "https://w3id.org/workflowhub/workflow-ro-crate#snakemake",
        "ComputerLanguage",
        name="Snakemake",
        identifier="https://doi.org/10.1093/bioinformatics/bts480",
        url="https://snakemake.readthedocs.io",
    )
    steps = [
        crate.add(
            name,
            "HowToStep",
            name=name.removeprefix("#step-"),
            position=str(position),
            workExample=_tool(crate, record),
        )
        for position, (name, record) in enumerate(_steps(jobs).items(), 1)
    ]
    tools = [crate.entities[step["@id"]]["workExample"] for step in steps]
    return _source(
        crate,
        "Snakefile",
        ["SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
        name="featpoison",
        version=provenance.sha256_file(provenance.ROOT / "Snakefile"),
        encodingFormat="text/plain",
        programmingLanguage=language,
        step=steps,
        hasPart=list({tool["@id"]: tool for tool in tools}.values()),
        license={"@id": LICENSE},
    )


def _organize(crate: Crate, jobs: list[tuple[Record, list[str]]], actions: list[Entity], run: Entity) -> None:
    """The engine's part: each job ran as a step of the workflow."""
    names = list(_steps(jobs))
    records = list(_steps(jobs).values())
    controls = []
    for number, ((record, _), action) in enumerate(zip(jobs, actions, strict=True), 1):
        same = next(
            index
            for index, other in enumerate(records)
            if (other["program"], other["code"]) == (record["program"], record["code"])
        )
        controls.append(
            crate.add(
                f"#control-{number}",
                "ControlAction",
                name=f"step {number}",
                instrument={"@id": names[same]},
                object=action,
            )
        )
    versions = sorted({record["environment"].get("snakemake", "") for record, _ in jobs})
    engine = crate.add(
        "https://snakemake.github.io",
        "SoftwareApplication",
        name="Snakemake",
        url="https://snakemake.github.io",
        softwareVersion=", ".join(versions),
    )
    crate.add(
        "#organize",
        "OrganizeAction",
        name="Snakemake runs the workflow",
        instrument=engine,
        object=controls,
        result=run,
    )


DESCRIPTION = (
    "Products of a measurement of how poisoned training data harms heads on frozen feature extractors, "
    "and all they were made from."
)


def _root(crate: Crate, name: str, mentions: list[Entity], published: str | None) -> None:
    """The crate itself, its profiles and its license."""
    files = [
        {"@id": key}
        for key, entity in crate.entities.items()
        if "File" in entity["@type"] or entity["@type"] == "Dataset"
    ]
    profiles = [
        crate.add(key, "CreativeWork", name=title, version=key.rsplit("/", 1)[-1])
        for key, title in PROFILES.items()
    ]
    crate.add(
        LICENSE,
        "CreativeWork",
        name="MIT License",
        description="The license of the code.",
        url="https://spdx.org/licenses/MIT.html",
    )
    crate.add(
        PAPER,
        "ScholarlyArticle",
        name="Indiscriminate Data Poisoning Attacks on Pre-trained Feature Extractors",
    )
    crate.add(
        "./",
        "Dataset",
        name=name,
        description=DESCRIPTION,
        datePublished=published or datetime.now(UTC).date().isoformat(),
        license={"@id": LICENSE},
        citation={"@id": PAPER},
        conformsTo=profiles,
        mainEntity={"@id": "Snakefile"},
        hasPart=files,
        mentions=[*mentions, {"@id": "#organize"}],
    )
    versions = ("https://w3id.org/ro/crate/1.1", "https://w3id.org/workflowhub/workflow-ro-crate/1.0")
    crate.add(
        "ro-crate-metadata.json",
        "CreativeWork",
        about={"@id": "./"},
        conformsTo=[{"@id": version} for version in versions],
    )
