"""Weights that stand beside a pre-training or a snapshot were made by it elsewhere: whether their own record
says so, and their file of targets."""

from pathlib import Path
from typing import Any

import pydantic

from featpoison import store
from featpoison.common.settings import Settings
from featpoison.config.declared import Declared
from featpoison.config.encoders import EncoderEntry, PoisoningOf, Pretraining, Snapshot
from featpoison.pretraining.target_files import poisoning_of
from featpoison.pretraining.training import Training
from featpoison.records import seal
from featpoison.records.provenance import ROOT, Record

ENCODER = "an encoder"
"""What stands for an encoder among a record's inputs: elsewhere it may have had another name."""


def check_taken(config: Declared) -> None:
    """Raise ValueError, naming key, value and expectation, where weights were made otherwise than the
    configuration says, and where targets are of another poisoning. All local files exist; downloads are not
    looked at."""
    for name, entry in config.encoders.items():
        if entry.weights and entry.weights.path and (entry.pretraining or entry.snapshot):
            _check_weights(f"encoders.{name}", ROOT / entry.weights.path, entry)
        if entry.targets and entry.pretraining and entry.pretraining.poisoning:
            _check_targets(f"encoders.{name}.targets", entry.targets, entry.pretraining.poisoning)


def _check_weights(key: str, path: Path, entry: EncoderEntry) -> None:
    try:
        record = seal.read_metadata(path).get("provenance")
    except seal.WeightsError as error:
        raise ValueError(f"{key}.weights.path: {error}") from None
    if not record:
        raise ValueError(
            f"{key}.weights.path: {path.name} has no record, expected one beside 'pretraining' or 'snapshot'"
        )
    if entry.pretraining:
        _check_training(f"{key}.pretraining", path.name, record, entry.pretraining)
    elif entry.snapshot:
        _check_snapshot(f"{key}.snapshot", path.name, record, entry.snapshot)


def _check_training(key: str, name: str, record: Record, declared: Pretraining) -> None:
    _check_program(key, name, record, "pretrain_encoder")
    try:  # what an older record does not have yet is as it is by default
        recorded = Training.model_validate(record["settings"], strict=False)
    except pydantic.ValidationError as error:
        raise ValueError(f"{key}: the record of {name} does not fit: {error.errors()[0]['msg']}") from None
    for field in type(declared.simclr).model_fields:
        _check_equal(f"{key}.simclr.{field}", name, getattr(declared.simclr, field), getattr(recorded, field))
    _check_equal(f"{key}.subset", name, declared.subset, recorded.subset)
    expected = ["images.h5" if declared.screening else f"{declared.dataset}.h5"]
    if declared.poisoning:
        expected.append("poisons.h5" if declared.screening else f"{declared.poisoning.name}.h5")
    _check_inputs(key, name, record, expected + ([ENCODER] if declared.start else []))


def _check_snapshot(key: str, name: str, record: Record, declared: Snapshot) -> None:
    _check_program(key, name, record, "take_snapshot")
    _check_equal(f"{key}.epoch", name, declared.epoch, record["settings"]["epoch"])


def _check_program(key: str, name: str, record: Record, expected: str) -> None:
    if Path(record["program"]).stem != expected:
        raise ValueError(f"{key}: {name} was made by {record['program']}, expected scripts/{expected}.py")


def _check_inputs(key: str, name: str, record: Record, expected: list[str]) -> None:
    paths = map(Path, record["inputs"])
    found = sorted(ENCODER if path.suffix == ".safetensors" else path.name for path in paths)
    if found != sorted(expected):
        raise ValueError(f"{key}: {name} was made from {', '.join(found)}, expected {', '.join(expected)}")


def _check_equal(key: str, name: str, declared: Any, recorded: Any) -> None:
    if declared != recorded:
        texts = [one.model_dump_json() if isinstance(one, Settings) else one for one in (declared, recorded)]
        raise ValueError(f"{key}: {texts[0]}, expected {texts[1]}, as the record of {name} has it")


def _check_targets(key: str, name: str, declared: PoisoningOf) -> None:
    own = declared.settings.model_dump(mode="json")
    own |= {"attack": declared.attack, "rate": declared.rate, "poison_seed": declared.seed}
    try:
        recorded = poisoning_of(ROOT / name)
    except store.StoreError as error:
        raise ValueError(f"{key}: {error}") from None
    for field, value in own.items():
        if value != recorded.get(field):
            raise ValueError(
                f"{key}: {name} is of a poisoning with {field} {recorded.get(field)}, expected {value}"
            )
