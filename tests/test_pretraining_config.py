"""The configuration of attacks on pre-training: errors name key, value and expectation."""

import copy

import pytest
import yaml
from featpoison import config
from featpoison.config import ConfigError
from helpers import ROOT

POISONED = "encoders.continued-poisoned-1.pretraining"
POISONING = f"{POISONED}.poisoning"
MODEL = r"poisoning"
TARGETS = {"targets": {"cifar10-5k": 5, "digits": 5}}


@pytest.fixture
def values():
    return yaml.safe_load((ROOT / "workflow/config/poisoned-encoder.yaml").read_text())


def put(values: dict, keys: str, value) -> dict:
    """A copy in which one value is another."""
    values = copy.deepcopy(values)
    *path, last = keys.split(".")
    place = values
    for key in path:
        place = place[int(key)] if isinstance(place, list) else place[key]
    place[int(last) if isinstance(place, list) else last] = value
    return values


ROW = "pretraining_table.rows.0"
WRONG = [
    (f"{POISONING}.attack", "icp", r"poisoning: Input tag 'icp' .*'poisoned-encoder', 'reference-images'"),
    (f"{POISONING}.rate", 0, rf"{MODEL}\.rate: .*greater than 0 \(found 0\)"),
    (f"{POISONING}.rate", 1.01, rf"{MODEL}\.rate: .*less than or equal to 1 \(found 1\.01\)"),
    (f"{POISONING}.rate", "1", rf"{MODEL}\.rate: .*valid number \(found \"1\"\)"),
    (f"{POISONING}.seed", -1, rf"{MODEL}\.seed: .*greater than or equal to 0 \(found -1\)"),
    (f"{POISONING}.sed", 1, rf"{MODEL}\.sed: Extra inputs are not permitted \(found 1\)"),
    (f"{POISONING}.settings", {}, r"settings\.targets: \{\}, expected the targets of at least one"),
    (f"{POISONING}.settings", TARGETS | {"halves": "half"}, rf"{MODEL}\.settings\.halves: .*found \"half\""),
    (f"{POISONING}.settings", TARGETS | {"halfs": "whole"}, rf"{MODEL}\.settings\.halfs: Extra inputs"),
    (f"{POISONING}.settings", TARGETS | {"references": 0}, rf"{MODEL}\.settings\.references: .*found 0"),
    (f"{POISONING}.settings", {"targets": {"cifar10-5k": 0}}, r"targets\.cifar10-5k.*greater than 0"),
    (
        f"{POISONING}.settings",
        {"targets": {"mnist": 5}},
        r"poisoning\.settings\.targets: 'mnist' is unknown, expected one of \['cifar10-5k', 'digits'\]",
    ),
    (f"{POISONED}.start", "nobody", r"pretraining\.start: 'nobody' is unknown, expected one of"),
    (
        f"{POISONED}.start",
        "continued-poisoned-1",
        "continued-poisoned-1 needs continued-poisoned-1, expected an end",
    ),
    (f"{POISONED}.screening", {"encoder": "nobody"}, r"screening\.encoder: 'nobody' is unknown"),
    (f"{POISONED}.screening", {}, r"screening\.encoder: Field required"),
    (
        f"{POISONED}.screening",
        {"encoder": "embedded-simclr-cifar10", "share": 1.0},
        r"screening\.share: .*less than 1 \(found 1\.0\)",
    ),
    (
        f"{POISONED}.screening",
        {"encoder": "continued-poisoned-1"},
        "continued-poisoned-1 needs continued-poisoned-1, expected an end",
    ),
    (
        "encoders.continued-clean.pretraining.screening",
        {"encoder": "embedded-simclr-cifar10"},
        "'screening' is given, expected only with 'poisoning'",
    ),
    (f"{POISONED}.subset", {"images": 0}, r"subset\.images: .*greater than 0 \(found 0\)"),
    (f"{POISONED}.simclr.augmentation.crop_scale", [0.1], r"crop_scale"),
    (
        "encoders.continued-stopped-4.snapshot.encoder",
        "embedded-simclr-cifar10",
        r"stopped-4\.snapshot\.encoder: 'embedded-simclr-cifar10' is not trained here, expected",
    ),
    (
        "encoders.continued-stopped-4.snapshot.encoder",
        "nobody",
        r"stopped-4\.snapshot\.encoder: 'nobody' is unknown",
    ),
    (
        "encoders.continued-stopped-4.snapshot.epoch",
        13,
        r"stopped-4\.snapshot\.epoch: 13, expected at most the 12 epochs of continued-poisoned-0",
    ),
    (
        "encoders.continued-stopped-4.pretraining",
        {"dataset": "cifar10-5k"},
        "'pretraining' and 'snapshot' are given, expected one of them",
    ),
    ("pretraining_table.tasks", ["mnist"], r"pretraining_table\.tasks: 'mnist' is unknown"),
    ("pretraining_table.tasks", [], r"pretraining_table\.tasks: .*at least 1 item"),
    ("pretraining_table.rows", [], r"pretraining_table\.rows: .*at least 1 item"),
    ("pretraining_table.shown_share", 0.5, r"shown_share: .*greater than 0\.5 \(found 0\.5\)"),
    ("pretraining_table.clean", "nobody", r"pretraining_table\.clean: 'nobody' is unknown"),
    (
        "pretraining_table.clean",
        "continued-tuned-1000",
        r"pretraining_table\.clean: 'continued-tuned-1000', which 'continued-poisoned-0' poisons, expected",
    ),
    (f"{ROW}.clean", "continued-poisoned-0", r"rows\.0\.clean: 'continued-poisoned-0', which .*expected"),
    (f"{ROW}.encoders", ["continued-clean"], r"rows\.0\.encoders: 'continued-clean' was not poisoned"),
    (f"{ROW}.encoders", ["nobody"], r"pretraining_table\.rows\.0: 'nobody' is unknown"),
    (
        f"{ROW}.encoders",
        ["continued-poisoned-0", "continued-bag-1"],
        r"rows\.0\.encoders: poison seeds \[0, 0\], expected none twice",
    ),
    (
        f"{ROW}.encoders",
        ["continued-references-alone", "continued-poisoned-1"],
        r"rows\.0\.encoders: .*expected poisonings that differ by seed alone",
    ),
    (
        f"{ROW}.vote",
        True,
        r"of poison seeds \[0, 1\], expected at least two encoders of one poison seed",
    ),
]


@pytest.mark.parametrize(
    ("keys", "value", "message"), WRONG, ids=[f"{keys}={value}" for keys, value, _ in WRONG]
)
def test_errors_name_key_value_and_expectation(values, keys, value, message):
    with pytest.raises(ConfigError, match=rf"(?s){message}"):
        config.parse(put(values, keys, value), "x.yaml")


def test_tasks_are_those_of_the_targets(values):
    values["datasets"]["other"] = values["datasets"]["cifar10-5k"]
    values["pretraining_table"]["tasks"] = ["cifar10-5k", "other"]
    with pytest.raises(ConfigError, match=r"has targets in \['cifar10-5k', 'digits'\], expected in 'other'"):
        config.parse(values, "x.yaml")


def test_encoders_made_from_each_other_in_a_circle_are_named(values):
    values["encoders"]["continued-clean"]["pretraining"]["start"] = "continued-tuned-1000"
    values["encoders"]["continued-poisoned-0"]["pretraining"]["start"] = "continued-clean"
    with pytest.raises(ConfigError, match=r"continued-clean needs continued-tuned-1000 needs"):
        config.parse(values, "x.yaml")


def test_targets_may_be_named_with_their_references(values):
    named = [{"row": 3, "label": 1, "references": [4, 5]}, {"row": 8, "label": 0}]
    values = put(values, f"{ROW}.encoders", ["continued-poisoned-1"])
    targets = {"cifar10-5k": named, "digits": 5}
    found = config.parse(put(values, f"{POISONING}.settings", {"targets": targets}), "x.yaml")
    poisoning = found.poisoning_of("continued-poisoned-1")
    assert [one.row for one in poisoning.settings.targets["cifar10-5k"]] == [3, 8]
    assert poisoning.name == "poisoned-encoder_rate0.4-seed1"


def test_who_poisons_whom(values):
    found = config.parse(values, "x.yaml")
    assert found.poisoned_by("continued-poisoned-0") == "continued-poisoned-0"
    assert found.poisoned_by("continued-tuned-1000") == "continued-poisoned-0"
    assert found.poisoned_by("continued-stopped-8") == "continued-poisoned-0"
    assert found.poisoned_by("continued-clean") is None
    assert found.snapshots_of("continued-poisoned-0") == (4, 8)
    assert found.snapshots_of("continued-poisoned-1") == ()
    assert found.lineage("continued-stopped-4") == [
        "continued-stopped-4",
        "continued-poisoned-0",
        "embedded-simclr-cifar10",
    ]


def test_the_publications_scale_has_fifty_targets_in_each_task():
    found = config.load(ROOT / "workflow/config/poisoned-encoder-paper.yaml")
    first = found.pretraining_table.rows[0]
    for task in found.pretraining_table.tasks:
        assert sum(found.poisoning_of(name).settings.targets[task] for name in first.encoders) >= 50
    for name in first.encoders:
        poisoning, training = found.poisoning_of(name), found.encoders[name].pretraining
        assert poisoning.rate == 0.01
        assert (training.dataset, training.simclr.epochs) == ("cifar10", 800)
        assert training.simclr.architecture.width == 64


TWIN = "encoders.embedded-twin-poisoned"
WEIGHTS = "data/reference/encoders/simclr-w16-poisoned-50.safetensors"
OTHER = {"path": "data/reference/encoders/simclr-w16-stopped-50.safetensors"}
SNAPSHOT = {"snapshot": {"encoder": "embedded-twin-poisoned", "epoch": 25}, "weights": OTHER}
NOT_SO = [
    (
        f"{TWIN}.pretraining.simclr.epochs",
        99,
        r"simclr\.epochs: 99, expected 100, as the record of simclr-w16-",
    ),
    (
        f"{TWIN}.pretraining.simclr.augmentation",
        {"crop_scale": [0.5, 1.0]},
        r"simclr\.augmentation: .*\[0\.5,1\.0\].*, expected .*\[0\.2,1\.0\]",
    ),
    (f"{TWIN}.pretraining.simclr.barlow_twins", {}, r"simclr\.barlow_twins: .*redundancy.*, expected None"),
    (f"{TWIN}.pretraining.subset", {"images": 9}, r"pretraining\.subset: .*9.*, expected None"),
    (f"{TWIN}.pretraining.poisoning.seed", 1, r"made from cifar10\.h5, .*seed0\.h5, expected .*seed1\.h5"),
    (f"{TWIN}.pretraining.dataset", "cifar10-5k", r"made from cifar10\.h5, .*expected cifar10-5k\.h5"),
    (f"{TWIN}.pretraining.start", "embedded-twin-clean", r"seed0\.h5, expected .*, an encoder"),
    (f"{TWIN}.weights", OTHER, r"made by scripts/take_snapshot\.py, expected scripts/pretrain_encoder\.py"),
    (
        f"{TWIN}.pretraining.poisoning.settings.references",
        9,
        r"targets: .*is of a poisoning with references 50, expected 9",
    ),
    (f"{TWIN}.targets", "nothing.h5", r"targets: the file nothing\.h5 does not exist"),
    (f"{TWIN}.targets", WEIGHTS, r"targets: .*safetensors"),
    (f"{TWIN}.weights", None, r"'targets' is given, expected only with 'weights'"),
    (f"{TWIN}.pretraining.poisoning", None, r"'targets' is given, expected only with 'weights'"),
    ("encoders.continued-simclr-cifar10", SNAPSHOT, r"snapshot\.epoch: 25, expected 50, as the record of"),
    (
        "encoders.embedded-twin-clean",
        {"snapshot": {"encoder": "embedded-twin-poisoned", "epoch": 50}},
        r"'embedded-twin-poisoned' is not trained here, expected",
    ),
]


@pytest.mark.parametrize(
    ("keys", "value", "message"), NOT_SO, ids=[f"{keys}={value}" for keys, value, _ in NOT_SO]
)
def test_weights_and_targets_are_what_the_configuration_says(keys, value, message):
    demo = yaml.safe_load((ROOT / "workflow/config/demo.yaml").read_text())
    with pytest.raises(ConfigError, match=rf"(?s){message}"):
        config.parse(put(copy.deepcopy(demo), keys, value), "demo.yaml")
