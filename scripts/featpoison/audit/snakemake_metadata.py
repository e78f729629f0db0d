"""What is known of the jobs that made products: times of Snakemake's own records, and use of resources of its
benchmark files.

Products hold no times, so that they repeat byte for byte; these are kept beside them, and are missing where a
product came without them.
"""

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RECORDS = ".snakemake/metadata"
USAGE = {
    "s": ("wall time", "s"),
    "cpu_time": ("CPU time", "s"),
    "max_rss": ("largest resident memory", "MiB"),
}
"""Columns of a benchmark file: name and unit."""
LONGEST_NAME = 254  # of a file, before Snakemake makes folders of the rest


@dataclass(frozen=True)
class Job:
    """A job of Snakemake; everything may be unknown."""

    rule: str | None = None
    start: str | None = None
    end: str | None = None
    """ISO 8601, UTC, to the second."""
    log: str | None = None
    """Of this project's folders, relative to the repository."""
    usage: dict[str, float] = field(default_factory=dict)
    """By column of `USAGE`."""


def job_of(root: Path, product: str) -> Job:
    """The job that made `product`, a path relative to `root`."""
    try:
        record: dict[str, Any] = json.loads((root / RECORDS / _record_name(product)).read_text())
        start, end = (
            datetime.fromtimestamp(record[key], UTC).isoformat(timespec="seconds")
            for key in ("starttime", "endtime")
        )
    except (OSError, ValueError, KeyError, TypeError):
        return Job()
    log = next(iter(record.get("log") or []), None)
    shown = log if log and (root / log).is_file() else None
    return Job(record.get("rule"), start, end, shown, _usage(root, log, record["starttime"]))


def _record_name(product: str) -> str:
    """Snakemake names a job's record by its output in base 64."""
    text = base64.urlsafe_b64encode(product.encode()).decode()
    parts = [text[start : start + LONGEST_NAME] for start in range(0, len(text), LONGEST_NAME)]
    return "/".join([*(f"@{part}" for part in parts[:-1]), parts[-1]])


def _usage(root: Path, log: str | None, start: float) -> dict[str, float]:
    """A rule's benchmark file has the name of its log, and is of another job where it is older than this
    job's start."""
    if not log:
        return {}
    path = root / Path("benchmarks", *Path(log).parts[1:]).with_suffix(".jsonl")
    try:
        if path.stat().st_mtime < start:
            return {}
        found = json.loads(path.read_text().splitlines()[-1])
        return {key: float(found[key]) for key in USAGE if found.get(key) is not None}
    except (OSError, ValueError, IndexError, TypeError):
        return {}
