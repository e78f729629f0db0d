"""Files that were put in place with an old time stamp, as `cp -p` and archives do.

Snakemake looks at the content of an input only where it is younger than what was made from it. An earlier
version of a file that is put back with its own time is older, and the products of the later version would
count as up to date. What the system cannot set back is the time of the last change of a file's entry; where
that is later than a product, the content is held against the product's record.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from featpoison.audit.digests import Digests
from featpoison.audit.lineage import read_record
from featpoison.records.provenance import ROOT

STAGES = "data/"


def replaced(made: Mapping[str, Iterable[str]]) -> list[str]:
    """The inputs that are not what products were made from, though they look older than these.

    `made` are finished products with their inputs, all by names relative to the repository. Digests are
    remembered by size and times, as those of the audit are.
    """
    suspects = {
        product: older for product, inputs in made.items() if (older := _put_in_place_later(product, inputs))
    }
    digests = Digests()
    found = digests.of({name for names in suspects.values() for name in names})
    digests.save()
    different: dict[str, None] = {}
    for product, names in suspects.items():
        recorded = _recorded_inputs(product)
        different |= dict.fromkeys(name for name in names if recorded.get(name, found[name]) != found[name])
    return list(different)


def touch(names: Iterable[str]) -> None:
    """Give files the present time, so that Snakemake looks at their content."""
    for name in names:
        os.utime(ROOT / name)


def _put_in_place_later(product: str, inputs: Iterable[str]) -> list[str]:
    """The inputs whose entries changed after the product was written, while their time stamps are older."""
    path = ROOT / product
    if not path.is_file():
        return []
    made = path.stat().st_mtime
    states = {name: os.stat(ROOT / name) for name in inputs if _is_ours(name)}
    return [name for name, state in states.items() if state.st_mtime <= made < state.st_ctime]


def _is_ours(name: str) -> bool:
    return name.startswith(STAGES) and (ROOT / name).is_file()


def _recorded_inputs(product: str) -> dict[str, str]:
    """The digests of what a product was made from; none where it has no readable record."""
    try:
        record = read_record(Path(ROOT / product), vouched=True)
    except ValueError:
        return {}
    return record["inputs"] if record else {}
