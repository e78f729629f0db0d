"""What a configuration declares for a product, to be held against the settings that its record holds.

Only settings of a step are compared. Which products there are at all (rows and budgets of tables, poison seeds) is told by their paths, and
by Snakemake's `--dry-run`.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

from featpoison.common.settings import Settings
from featpoison.config import Config
from featpoison.records.provenance import Record, canonical_json

IN_THE_PATH = ("beta", "constrained")  # of feature matching and of attacks in input space; the path says these

STEPS: dict[str, tuple[str, Callable[[Config], Settings]]] = {
    "make_target_head": ("attacks.gradpc", lambda config: config.attacks.gradpc),
    "cancel_gradient": ("attacks.gradient_canceling", lambda config: config.attacks.gradient_canceling),
    "match_features": ("attacks.feature_matching", lambda config: config.attacks.feature_matching),
    "poison_by_canceling": ("attacks.gc_input", lambda config: config.attacks.gc_input),
    "poison_by_tgda": ("attacks.tgda_input", lambda config: config.attacks.tgda_input),
    "poison_features_by_bilevel": ("attacks.exact_feature", lambda config: config.attacks.exact_feature),
    "poison_by_bilevel": ("attacks.exact_input", lambda config: config.attacks.exact_input),
    "make_unlearnable": ("attacks.emn", lambda config: config.attacks.emn),
    "train_decoder": ("attacks.decoder_inversion", lambda config: config.attacks.decoder_inversion),
    "train_heads": ("victims", lambda config: config.victims),
    "evaluate_attack": ("victims", lambda config: config.victims),
}


def differences(config: Config, path: str, record: Record) -> Iterator[str]:
    """One line per setting that the configuration has otherwise than the record of the product at `path`."""
    found = _section(config, path, PurePosixPath(record["program"]).stem)
    if found is None:
        return
    key, declared = found
    if declared is None:
        yield f"{key} is not in the configuration any more"
        return
    recorded = record["settings"]
    for name, value in json.loads(canonical_json(declared.model_dump())).items():
        if name not in IN_THE_PATH:
            yield from _compare(f"{key}.{name}", value, recorded.get(name))


def _section(config: Config, path: str, program: str) -> tuple[str, Settings | None] | None:
    """The key and the settings of the step that made `path`; None for a step without settings."""
    if program in STEPS:
        key, of = STEPS[program]
        return key, of(config)
    name = PurePosixPath(path).stem
    if program == "fetch_dataset":
        return f"datasets.{name}", config.datasets.get(name)
    if program in ("import_encoder", "pretrain_encoder"):
        entry = config.encoders.get(name)
        if program == "import_encoder":
            return f"encoders.{name}.weights", entry.weights if entry else None
        return f"encoders.{name}.pretraining.simclr", entry.pretraining.simclr if entry and entry.pretraining else None
    if program == "evaluate_unlearnable":
        return ("victims", config.victims) if "emn-input/" in path else ("network_victims", config.network_victims)
    return None


def _compare(key: str, declared: Any, recorded: Any) -> Iterator[str]:
    if isinstance(declared, dict) and isinstance(recorded, dict):
        for name in sorted(declared.keys() | recorded.keys()):
            yield from _compare(f"{key}.{name}", declared.get(name), recorded.get(name))
    elif declared != recorded:
        yield f"{key} is {json.dumps(declared)} in the configuration, {json.dumps(recorded)} in the record"
