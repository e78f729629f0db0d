"""Which configurations use a product, so that none of them replaces what another one stands on.

A path names data set, encoder and attack, but not every setting. Two configurations that give other settings
to one name would therefore make the same files in turn, each over the other's. Every run lists what its plan
needs, and before a run a plan that would replace a file with other settings stops, where another
configuration is listed for that file. The list is `data/.users.json`, ignored by git: product ->
configuration files.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from featpoison.audit.lineage import read_record
from featpoison.audit.settings_comparison import differences
from featpoison.common.files import replacing
from featpoison.graph.steps import Steps
from featpoison.records.provenance import ROOT

LIST = "data/.users.json"


class InUse(ValueError):
    """A product of another configuration would be replaced. The message names it, both configurations, what
    differs, and how to go on."""


def listed() -> dict[str, list[str]]:
    """Configuration files by product; empty where nothing is listed yet or the list is damaged."""
    try:
        found = json.loads((ROOT / LIST).read_text())
    except (OSError, ValueError):
        return {}
    return {str(name): list(map(str, users)) for name, users in found.items()} if type(found) is dict else {}


def check(steps: Steps, configuration: str, planned: Mapping[str, Iterable[str]]) -> None:
    """Raise InUse where a plan would replace what another configuration made with other settings.

    `planned` are the files that jobs would make, with the files that each is made from; `configuration` is
    the file of `steps`. A file that nobody else is listed for is the configuration's own.
    """
    users = listed()
    found: list[str] = []
    for product, inputs in planned.items():
        others = [name for name in users.get(product, ()) if name != configuration]
        if others and (ROOT / product).is_file() and (reason := _reason(steps, product, inputs)):
            found.append(f"{product} is used by {', '.join(others)}: {reason}")
    if found:
        more = f" ({len(found) - 1} more such files)" if len(found) > 1 else ""
        raise InUse(
            f"{found[0]}{more}; {configuration} would replace it. Give the data set, the encoder or the "
            f"output folder of {configuration} another name, which makes files of its own, or replace the "
            "file with --config replace=True"
        )


def enlist(configuration: str, needed: Iterable[str], replaced: Iterable[str] = ()) -> None:
    """List a configuration for the products that it needs, and take all others off those in `replaced`."""
    users = listed()
    before = json.dumps(users, sort_keys=True)
    for product in replaced:
        users.pop(product, None)
    for product in needed:
        users[product] = sorted({*users.get(product, ()), configuration})
    if json.dumps(users, sort_keys=True) != before:
        with replacing(ROOT / LIST) as temporary:
            temporary.write_text(json.dumps(users, indent=0, sort_keys=True) + "\n")


def _reason(steps: Steps, product: str, inputs: Iterable[str]) -> str | None:
    """What differs between a finished product and what the configuration would make in its place; None where
    nothing does, or where it cannot be told because the product has no readable record."""
    if not product.startswith("data/"):
        return "an output folder belongs to one configuration"
    try:
        record = read_record(ROOT / product)
    except ValueError:
        return None
    if record is None:
        return None
    for line in differences(steps, product, record):
        return line
    recorded, declared = ({name for name in names if _of_seed(name)} for names in (record["inputs"], inputs))
    if recorded and declared and recorded != declared:
        return f"poison_seeds lead to {_names(declared)}, the record has {_names(recorded)}"
    return None


def _of_seed(name: str) -> bool:
    """Whether a file is the product of one poison seed."""
    return name.startswith("data/") and "seed" in Path(name).name


def _names(paths: Iterable[str]) -> str:
    return ", ".join(sorted(Path(path).name for path in paths))
