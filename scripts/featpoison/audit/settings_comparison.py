"""What a configuration declares for a product, to be held against the settings that its record holds.

Only settings of a step are compared. Which products there are at all (rows and budgets of tables, poison
seeds) is told by their paths, and by Snakemake's `--dry-run`.
"""

import json
from collections.abc import Iterator
from typing import Any

from featpoison.graph.steps import Steps, declared_settings
from featpoison.records.provenance import Record


def differences(steps: Steps, path: str, record: Record) -> Iterator[str]:
    """One line for each setting that the configuration of `steps` has otherwise than the record of the
    product at `path`."""
    found = declared_settings(steps, path, record["program"])
    if found is None:
        return
    key, declared = found
    if declared is None:
        yield f"{key} is not in the configuration any more"
        return
    for name, value in declared.items():
        yield from _compare(f"{key}.{name}", value, record["settings"].get(name))


def _compare(key: str, declared: Any, recorded: Any) -> Iterator[str]:
    if isinstance(declared, dict) and isinstance(recorded, dict):
        for name in sorted(declared.keys() | recorded.keys()):
            yield from _compare(f"{key}.{name}", declared.get(name), recorded.get(name))
    elif declared != recorded:
        yield f"{key} is {json.dumps(declared)} in the configuration, {json.dumps(recorded)} in the record"
