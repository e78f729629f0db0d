"""Attacks on pre-training: what their steps read, how programs are called, and what the table shows."""

import json
from types import SimpleNamespace

import pytest
import yaml
from featpoison import config
from featpoison.graph.paths import code
from featpoison.graph.pretraining_tables import PretrainingTables
from featpoison.graph.steps import Steps, declared_settings
from helpers import ROOT

POISONS = "data/pretraining_poisons/{0}/poisoned-encoder_rate0.4-seed{1}.h5"
IMAGES, DIGITS = "data/images/cifar10-5k.h5", "data/images/digits.h5"
BOTH = ("clean", "poisoned-0")


@pytest.fixture
def values():
    return yaml.safe_load((ROOT / "workflow/config/poisoned-encoder.yaml").read_text())


@pytest.fixture
def steps(values):
    return Steps(config.parse(values, "poisoned-encoder.yaml"))


def of(encoder, **known):
    return SimpleNamespace(encoder=f"continued-{encoder}", **known)


def test_encoders_are_trained_imported_or_taken(steps):
    assert steps.imported == ["embedded-simclr-cifar10"]
    assert steps.snapshots == ["continued-stopped-4", "continued-stopped-8"]
    assert steps.kept_in_stages == ["continued-poisoned-0"]
    assert set(steps.trained_at_once) | {"continued-poisoned-0"} == set(steps.pretrained)
    assert "continued-poisoned-0" not in steps.trained_at_once
    assert {"continued-poisoned-1", "continued-bag-2", "continued-targets-alone"} < set(steps.poisoned)
    assert not {"continued-clean", "continued-tuned-1000", "continued-stopped-4"} & set(steps.poisoned)


def test_a_pretraining_reads_images_poisons_and_its_start(steps):
    start = "data/encoders/embedded-simclr-cifar10.safetensors"
    assert steps.pretraining_options(of("clean")) == ["--images", IMAGES, "--start", start]
    poisons = POISONS.format("continued-poisoned-1", 1)
    assert steps.pretraining_options(of("poisoned-1")) == [
        "--images",
        IMAGES,
        "--poisons",
        poisons,
        "--start",
        start,
    ]
    tuned = steps.pretraining_options(of("tuned-1000"))
    assert tuned[2:] == ["--start", "data/encoders/continued-poisoned-0.safetensors"]


def test_settings_of_a_training_are_plain_where_it_is_plain(steps):
    """So that what is trained already is not trained again for a setting that it does not have."""
    plain, bag, stages = (
        json.loads(steps.settings("pretrain_encoder")(of(name))) for name in ("clean", "bag-1", "poisoned-0")
    )
    assert "subset" not in plain
    assert "snapshots" not in plain
    assert bag == plain | {"subset": {"images": 2000, "seed": 1}, "snapshots": []}
    assert stages == plain | {"subset": None, "snapshots": [4, 8]}


def test_poisons_are_made_with_the_settings_of_their_encoder(steps):
    asked = of("poisoned-1", poisoning="poisoned-encoder_rate0.4-seed1")
    options = steps.poisoning_options(asked)
    given = dict(zip(options[:-1:2], options[1:-1:2], strict=True))
    assert given["--attack"] == "poisoned-encoder"
    assert (given["--rate"], given["--seed"]) == ("0.4", "1")
    assert options[-2:] == [f"cifar10-5k={IMAGES}", f"digits={DIGITS}"]
    assert json.loads(given["--settings"])["targets"] == {"cifar10-5k": 5, "digits": 5}
    expected = code("poison_pretraining.py", "featpoison.attacks.poisoned_encoder")
    assert steps.poisoning_code(asked) == expected
    with pytest.raises(ValueError, match=r"expected poisoned-encoder_rate0\.4-seed1"):
        steps.poisoning_options(of("poisoned-1", poisoning="poisoned-encoder_rate0.4-seed0"))
    with pytest.raises(ValueError, match="of continued-clean, expected none"):
        steps.poisoning_options(of("clean", poisoning="poisoned-encoder_rate0.4-seed0"))


def test_workflow_and_audit_agree_on_settings(steps):
    for program, path, key in (
        ("poison_pretraining", POISONS.format("continued-poisoned-0", 0), "pretraining.poisoning.settings"),
        ("pretrain_encoder", "data/encoders/continued-bag-0.safetensors", "pretraining.simclr"),
        ("pretrain_encoder", "data/snapshots/continued-poisoned-0.safetensors", "pretraining.simclr"),
        ("take_snapshot", "data/encoders/continued-stopped-4.safetensors", "snapshot"),
    ):
        declared = declared_settings(steps, path, f"scripts/{program}.py")
        assert declared is not None
        assert declared[0].endswith(key)
        assert declared[1]
    other = declared_settings(steps, POISONS.format("continued-poisoned-0", 7), "poison_pretraining")
    assert other == ("encoders.continued-poisoned-0.pretraining.poisoning.settings", None)
    gone = declared_settings(steps, POISONS.format("gone", 0), "poison_pretraining")
    assert gone == ("encoders.gone.pretraining.poisoning.settings", None)


@pytest.mark.parametrize(
    ("name", "epochs", "subset"),
    [
        ("poisoned-0", 12, None),
        ("stopped-4", 4, None),
        ("tuned-5000", 12, None),
        ("bag-2", 12, 2000),
    ],
)
def test_an_encoder_saw_what_the_one_that_was_poisoned_saw(steps, name, epochs, subset):
    seen = steps.exposure(f"continued-{name}")
    assert (seen.epochs, seen.subset, seen.share) == (epochs, subset, 0.75)


def test_what_is_tuned_from_a_snapshot_saw_its_epochs(values):
    values["encoders"]["later"] = {
        "pretraining": {"dataset": "cifar10-5k", "start": "continued-stopped-4", "simclr": {"epochs": 3}}
    }
    assert Steps(config.parse(values, "x")).exposure("later").epochs == 4


def test_only_a_poisoned_encoder_was_exposed(steps):
    asked = of("clean", poisoned="continued-poisoned-0", dataset="cifar10-5k")
    poisons = POISONS.format("continued-poisoned-0", 0)
    assert steps.measure_options(asked) == ["--poisons", poisons]
    assert steps.measured_files(asked) == [poisons]
    asked.encoder = "continued-tuned-1000"
    options = steps.measure_options(asked)
    assert options[:6] == ["--poisons", poisons, "--seen-images", IMAGES, "--seen-poisons", poisons]
    assert options[6] == "--exposure"
    assert steps.measured_files(asked) == [poisons, IMAGES, poisons]
    asked.poisoned = "continued-poisoned-1"  # not the one that it comes from
    assert steps.measure_options(asked) == ["--poisons", POISONS.format("continued-poisoned-1", 1)]


def test_a_screened_training_reads_what_is_left(values):
    poisoned = values["encoders"]["continued-poisoned-1"]["pretraining"]
    poisoned["screening"] = {"encoder": "embedded-simclr-cifar10", "share": 0.25}
    steps, asked = Steps(config.parse(values, "x")), of("poisoned-1")
    left = [f"data/screened/continued-poisoned-1/{name}.h5" for name in ("images", "poisons")]
    options = steps.pretraining_options(asked)
    assert options[:4] == ["--images", left[0], "--poisons", left[1]]
    assert steps.screening_encoder(asked) == "data/encoders/embedded-simclr-cifar10.safetensors"
    assert steps.screened == ["continued-poisoned-1", "continued-screened"]
    declared = declared_settings(steps, left[1], "scripts/screen_pretraining.py")
    assert declared == (
        "encoders.continued-poisoned-1.pretraining.screening",
        {"neighbours": 10, "share": 0.25},
    )
    measured = of("poisoned-1", poisoned="continued-poisoned-1", dataset="cifar10-5k")
    every = POISONS.format("continued-poisoned-1", 1)  # all targets, with the cross pairs of what is left
    assert steps.measured_files(measured) == [every, *left]


def test_rows_say_what_tells_them_apart(values):
    values["pretraining_table"]["tasks"] = ["cifar10-5k"]
    settings = values["encoders"]["continued-poisoned-1"]["pretraining"]["poisoning"]["settings"]
    resized = {"dataset": "cifar10-5k"} | {
        "poisoning": {"attack": "poisoned-encoder", "rate": 0.1, "settings": settings | {"halves": "resized"}}
    }
    del values["encoders"]["continued-tuned-5000"]["pretraining"]["subset"]
    values["encoders"]["resized"] = {"pretraining": resized}
    values["encoders"]["twins"] = {"pretraining": resized | {"simclr": {"barlow_twins": {}}}}
    values["pretraining_table"]["rows"] += [{"encoders": ["resized"]}, {"encoders": ["twins"]}]
    rows = PretrainingTables(config.parse(values, "x")).rows()
    assert [(row.attack, row.defence) for row in rows] == [
        ("PoisonedEncoder", ""),
        ("Reference images alone", ""),
        ("Target images alone", ""),
        ("PoisonedEncoder", "loss of Barlow Twins"),
        ("PoisonedEncoder", "the densest 20 % left out"),
        ("PoisonedEncoder", "stopped after 4 of 12 epochs"),
        ("PoisonedEncoder", "stopped after 8 of 12 epochs"),
        ("PoisonedEncoder", "no crops"),
        ("PoisonedEncoder", "bagging, 3 encoders on 2000 images each"),
        *(
            ("PoisonedEncoder", f"fine-tuned on {count} images of cifar10-5k, 12 epochs")
            for count in (300, 1000, 2500, "all")
        ),
        ("PoisonedEncoder (halves resized)", "crops of 0.08 to 1"),
        ("PoisonedEncoder (halves resized)", "loss of Barlow Twins, crops of 0.08 to 1"),
    ]
    assert [row.plain for row in rows] == [True] * 3 + [False] * 2 + [True] * 3 + [False] + [True] * 3 + [
        False,
        True,
        False,
    ]
    assert [row.tuning_images for row in rows[8:]] == [0, 300, 1000, 2500, 0, 0, 0]
    assert [row.tuning_epochs for row in rows[8:]] == [0, 12, 12, 12, 12, 0, 0]
    assert [row.loss for row in rows].count("Barlow Twins") == 2
    assert rows[3].loss == rows[-1].loss == "Barlow Twins"
    first, twins, whole, bag = rows[0], rows[3], rows[7], rows[8]
    assert (twins.clean_encoder, whole.clean_encoder) == (
        "continued-barlow-clean",
        "continued-clean-no-crops",
    )
    assert {row.clean_encoder for row in rows if row not in (twins, whole)} == {"continued-clean"}
    place = "data/target_measures/cifar10-5k"
    assert first.measures == tuple(
        f"{place}/continued-poisoned-{seed}/continued-poisoned-{seed}.h5" for seed in (0, 1)
    )
    assert first.clean == tuple(f"{place}/continued-clean/continued-poisoned-{seed}.h5" for seed in (0, 1))
    assert whole.clean == (f"{place}/continued-clean-no-crops/continued-poisoned-no-crops.h5",)
    assert whole.smallest_crop is None
    assert len(bag.measures) == 3
    assert bag.clean == (f"{place}/continued-clean/continued-bag-0.h5",)


def test_without_a_table_there_are_no_files(values):
    made = PretrainingTables(config.parse(values, "x"))
    assert len(made.files) == 4 + 3 * 2 + 1
    assert set(made.measure_files(SimpleNamespace())) >= set(made.rows()[0].measures)
    del values["pretraining_table"]
    bare = PretrainingTables(config.parse(values, "x"))
    assert bare.files == []
    with pytest.raises(ValueError, match="pretraining_table is null"):
        bare.rows()


def test_the_pictures_are_of_the_first_row(steps):
    made = PretrainingTables(steps.config)
    none = SimpleNamespace()
    files = made.neighbour_files(none)
    assert [files[name] for name in ("before", "after")] == [
        f"data/features/cifar10-5k/continued-{name}.h5" for name in BOTH
    ]
    options = made.neighbour_options(none)
    measures = [f"data/target_measures/cifar10-5k/continued-{name}/continued-poisoned-0.h5" for name in BOTH]
    assert [files[name] for name in ("measures-before", "measures-after")] == measures
    assert options[:2] == ["--images", IMAGES]
    assert options[-4:] == ["--count", "8", "--rows", "10"]
    assert made.shown_poisons(none) == POISONS.format("continued-poisoned-0", 0)
    assert made.shown_images(none) == [IMAGES, DIGITS]
    named = [f"cifar10-5k={IMAGES}", f"digits={DIGITS}"]
    assert made.shown_options(none) == ["--count", "8", "--rows", "10", "--downstream", *named]


def test_a_row_for_each_task(values):
    rows = PretrainingTables(config.parse(values, "x")).rows()
    assert [row.task for row in rows[:4]] == ["cifar10-5k", "digits"] * 2
    assert rows[1].measures[0] == "data/target_measures/digits/continued-poisoned-0/continued-poisoned-0.h5"


TWIN, CLEAN_TWIN = "embedded-twin-poisoned", "embedded-twin-clean"


@pytest.fixture
def demo():
    return yaml.safe_load((ROOT / "workflow/config/demo.yaml").read_text())


def test_weights_beside_a_pretraining_are_imported_and_measured_by_their_targets(demo):
    steps = Steps(config.parse(demo, "demo.yaml"))
    assert {CLEAN_TWIN, TWIN} < set(steps.imported)
    assert not {CLEAN_TWIN, TWIN} & {*steps.pretrained, *steps.snapshots}
    targets = "data/reference/encoders/simclr-w16-poisoned-50.targets.h5"
    asked = SimpleNamespace(encoder=CLEAN_TWIN, poisoned=TWIN, dataset="cifar10-5k")
    clean = ["--targets", targets, "--images", IMAGES, "--encoder"]
    assert steps.measure_options(asked) == [*clean, f"data/encoders/{CLEAN_TWIN}.safetensors"]
    asked.encoder = TWIN
    options = steps.measure_options(asked)
    assert options[:6] == [*clean, f"data/encoders/{TWIN}.safetensors"]
    assert json.loads(options[-1])["epochs"] == 100


def test_figures_without_anything_to_show_are_left_out(demo):
    one = PretrainingTables(config.parse(demo, "demo.yaml"))
    assert {path.split("/")[-1].split(".")[0] for path in one.files} == {
        "pretraining",
        "neighbours",
        "statements",
    }
    assert one.neighbour_files(SimpleNamespace())["targets"].endswith("poisoned-50.targets.h5")
    (row,) = one.rows()
    assert (row.epochs, row.rate, row.references, row.task) == (100, 0.09, 50, "cifar10-5k")
    demo["encoders"]["tuned"] = {
        "pretraining": {"dataset": "cifar10-5k", "start": TWIN, "subset": {"images": 500}}
    }
    demo["pretraining_table"]["rows"].append({"encoders": ["tuned"]})
    assert "figures/demo/success.png" in PretrainingTables(config.parse(demo, "demo.yaml")).files
