import copy

import pytest
import yaml
from featpoison import config
from featpoison.config import ConfigError
from helpers import ROOT, SNAKEMAKE, ran

CONFIGS = [path for path in sorted((ROOT / "workflow/config").glob("*.yaml")) if path.stem != "my"]
"""Without the template, whose files are its user's."""


@pytest.fixture
def demo() -> dict:
    return yaml.safe_load((ROOT / "workflow/config/demo.yaml").read_text())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_is_valid(path):
    config.load(path)


def test_paper_holds_the_papers_protocol():
    paper = config.load(ROOT / "workflow/config/paper.yaml")
    table = paper.tables["table1"]
    assert table.budgets == (0.03, 0.1, 0.5, 1.0)
    simclr = paper.encoders[paper.scenarios["fine-tuning"].encoder].pretraining.simclr
    assert (simclr.epochs, simclr.batch_size, simclr.architecture.width) == (800, 512, 64)
    attacks = paper.attacks
    canceling, matching = attacks.gc_feature, attacks.feature_matching
    assert (attacks.gradpc.eps_w, canceling.iterations, canceling.threshold) == (1, 2000, 1)
    assert (matching.steps, matching.step_size, matching.gamma) == (2000, 0.1, 1)
    # The paper's rows towards its target: no norm cap, no set of ours.
    own = [row for row in table.rows if row.target in (None, "gradpc-feature") and not row.attack.ours]
    assert {row.set for row in own} == {None, "free", "constrained"}
    assert {row.method for row in own} >= {"gc-input", "gc-feature", "decoder-inversion", "feature-matching"}
    assert paper.victims.sgd100.epochs == 100


def test_the_larger_shift_is_attacked_as_in_the_demo():
    demo, fashion = (config.load(ROOT / f"workflow/config/{name}.yaml") for name in ("demo", "fashion"))
    for name in ("victims", "poison_seeds", "shards", "gpu"):
        assert getattr(fashion, name) == getattr(demo, name)
    assert fashion.attacks.model_copy(update={"emn": demo.attacks.emn}) == demo.attacks
    assert fashion.scenarios["transfer"] == demo.scenarios["transfer"]
    assert fashion.tables["table9"].rows == fashion.tables["table2"].rows


def test_configurations_share_no_names_unless_the_things_are_the_same():
    loaded = [config.load(path) for path in CONFIGS]
    for one in loaded:
        for other in loaded:
            for name in one.datasets.keys() & other.datasets.keys():
                assert one.datasets[name] == other.datasets[name]
            for name in one.encoders.keys() & other.encoders.keys():
                assert one.encoders[name] == other.encoders[name]


def test_a_table_that_is_null_is_none(demo):
    kept = config.parse(put(demo, "tables.table2", None), "demo.yaml").tables
    assert list(kept) == ["table1", "table3", "table4"]


@pytest.mark.parametrize("name", ["reach", "small"])
def test_files_that_are_laid_over_all_of_cifar10_are_valid(name):
    below, above = ROOT / "workflow/config/cifar10.yaml", ROOT / f"workflow/config/cifar10/{name}.yaml"
    assert config.load(below, above).output == config.read(above)["output"]
    with pytest.raises(ConfigError, match=rf"cifar10/{name}\.yaml: datasets: Field required"):
        config.load(above)


def test_a_file_that_is_laid_over_another_replaces_values_and_keeps_what_it_does_not_name(demo, tmp_path):
    path = tmp_path / "over.yaml"
    path.write_text("poison_seeds: [7]\nattacks: {gc_feature: {iterations: 3}}\n")
    laid = config.load(ROOT / "workflow/config/demo.yaml", path)
    attacks = demo["attacks"]
    expected = {**attacks, "gc_feature": {**attacks["gc_feature"], "iterations": 3}}
    assert laid == config.parse({**demo, "poison_seeds": [7], "attacks": expected}, "expected")
    path.write_text("poison_seeds: [-7]\n")
    with pytest.raises(ConfigError, match=r"demo\.yaml \+ .*over\.yaml: poison_seeds\.0: .*found -7"):
        config.load(ROOT / "workflow/config/demo.yaml", path)


def put(values: dict, keys: str, value) -> dict:
    values = copy.deepcopy(values)
    *path, last = keys.split(".")
    place = values
    for key in path:
        place = place[int(key)] if isinstance(place, list) else place.setdefault(key, {})
    place[int(last) if isinstance(place, list) else last] = value
    return values


WRONG = [
    ("tables.table1.budgets", [0.03, 0], r"tables\.table1\.budgets\.1: .*greater than 0 \(found 0\)"),
    ("tables.table1.budgets", [-1], r"greater than 0 \(found -1\)"),
    (
        "attacks.feature_matching.betta",
        1,
        r"attacks\.feature_matching\.betta: Extra inputs are not permitted \(found 1\)",
    ),
    (
        "attacks.feature_matching.steps",
        "many",
        r"attacks\.feature_matching\.steps: .*valid integer.*found \"many\"",
    ),
    ("attacks.gc_feature.norm_cap", 2.0, r"attacks\.gc_feature\.norm_cap: Extra inputs are not permitted"),
    ("attacks.gradient_canceling", {}, r"attacks\.gradient_canceling: Extra inputs are not permitted"),
    ("defences.magnitude_filter.factor", 2, r"defences\.magnitude_filter\.factor: Extra inputs"),
    (
        "defence_table.defences",
        ["prayer"],
        r"defence_table: .*defences: 'prayer' is unknown, expected one of magnitude-filter, norm-filter",
    ),
    ("defence_table.defences", ["sever", "sever"], r"defences: \['sever', 'sever'\], expected none twice"),
    ("defence_table.scenario", "moon", r"defence_table\.scenario: 'moon' is unknown, expected one of"),
    ("defence_table.budgets", [0.03, 0.03, 0.1], r"defence_table\.budgets: .*none twice"),
    (
        "defence_table.rows.0",
        {"method": "reachable"},
        "which makes target; expected an attack that makes features",
    ),
    (
        "defence_table.rows.3",
        {"method": "exact-feature", "defence": "magnitude-filter"},
        r"defence_table\.rows\.3: .*(makes features|expected none)",
    ),
    (
        "defence_table.rows.0.defences",
        ["blur"],
        "defences of a row of gc-feature: 'blur', expected some of the table's that see features",
    ),
    ("defence_table.rows.0.budgets", [0.5], r"budgets \[0\.5\] of a row of gc-feature, expected some of"),
    ("defences.sever.share", 1.5, r"defences\.sever\.share: .*less than 1 \(found 1\.5\)"),
    ("defences.median_of_means.blocks", 4, r"defences\.median_of_means\.blocks: .*odd"),
    ("shards", 0, r"shards: .*greater than 0 \(found 0\)"),
    (
        "scenarios.fine-tuning.dataset",
        "mnist",
        r"scenarios\.fine-tuning\.dataset: 'mnist' is unknown, expected one of \['cifar10', 'cifar10-5k'\]",
    ),
    ("tables.table1.scenario", "none", r"tables\.table1\.scenario: 'none' is unknown"),
    ("datasets.cifar10-5k.archive.path", "data/absent.tar", r"data/absent\.tar does not exist"),
    (
        "datasets.cifar10-5k.format",
        "npz",
        r"datasets\.cifar10-5k\.format: .*'cifar-10-binary'.*found \"npz\"",
    ),
    ("poison_seeds", [], r"poison_seeds: \[\], expected at least one value"),
    ("tables.table1.budgets", [0.03, 0.03], "none twice"),
    ("shards", "8", r"shards: .*valid integer \(found \"8\"\)"),
    ("victims.sgd100", {"epochs": True}, r"victims\.sgd100\.epochs: .*valid integer \(found true\)"),
    ("victims.sgd100", {"epochs": 5}, "'tail' is 10, expected at most the 5 epochs"),
    ("victims.sgd100", {"batch_size": 0}, "greater than 0"),
    ("figures.budget", "inf?", r"figures\.budget"),
    (
        "figures.transfer",
        "moon",
        r"figures\.transfer: 'moon' is unknown, expected one of \['fine-tuning', 'transfer'\]",
    ),
]


@pytest.mark.parametrize(
    ("keys", "value", "message"), WRONG, ids=[f"{keys}={value}" for keys, value, _ in WRONG]
)
def test_errors_name_key_value_and_expectation(demo, keys, value, message):
    with pytest.raises(ConfigError, match=message) as caught:
        config.parse(put(demo, keys, value), "demo.yaml")
    assert str(caught.value).startswith("demo.yaml: ")


PIPELINE = "ablation.pipelines.1"
WRONG_STUDIES = [
    ("ablation.scenario", "moon", r"ablation\.scenario: 'moon' is unknown"),
    ("ablation.pipelines", [], "at least 1 item"),
    (
        f"{PIPELINE}.inversion.0",
        {"method": "tgda"},
        r"ablation\.pipelines\.1: .*inversion\.0: .*'method' is 'tgda', expected one of",
    ),
    (
        f"{PIPELINE}.inversion.0",
        {"target": "permuted"},
        r"inversion\.0: 'target' is no part of this stage, expected some of beta, method, pairing",
    ),
    (
        f"{PIPELINE}.inversion.0",
        {"beta": 0.1},
        r"inversion\.0: .*_beta0\.1_.* is here already, expected another",
    ),
    (f"{PIPELINE}.inversion.0", {"beta": 0.25}, r"inversion\.4: .*_beta0\.25_.* is here already"),
    (
        f"{PIPELINE}.canceling.0",
        {"method": "exact-feature-matching", "target": None},
        r"canceling\.0: 'pairing' is 'within-class', expected 'all', that of the full pipeline",
    ),
    (
        f"{PIPELINE}.canceling.0",
        {"method": "exact-feature-matching"},
        "expected one of: none, for exact-feature",
    ),
    (
        "ablation.pipelines",
        [{"full": {"method": "reachable"}}],
        r"ablation: .*pipelines\.0: reachable makes target, expected an attack that makes features or images",
    ),
    (
        f"{PIPELINE}.full.defence",
        "magnitude-filter",
        r"pipelines\.1: 'defence' is given, expected none outside tables",
    ),
    ("transfer_matrix.dataset", "mnist", r"transfer_matrix\.dataset: 'mnist' is unknown"),
    ("transfer_matrix.encoders.1", "resnet", r"transfer_matrix\.encoders: 'resnet' is unknown"),
    ("transfer_matrix.attacked.1", "resnet", r"transfer_matrix\.attacked: 'resnet' is unknown"),
    ("transfer_matrix.attacked", [], r"attacked: \[\], expected at least one and none twice"),
    ("transfer_matrix.encoders.1", "embedded-simclr-cifar10", "expected at least one and none twice"),
    (
        "transfer_matrix.rows.0",
        {"method": "gc-feature", "target": "permuted"},
        r"rows\.0: gc-feature makes features, expected an attack that makes images",
    ),
    ("transfer_matrix.rows.0.budgets", [0.03], r"rows\.0: 'budgets' is given, expected none outside tables"),
]


@pytest.mark.parametrize(
    ("keys", "value", "message"), WRONG_STUDIES, ids=[f"{keys}={value}" for keys, value, _ in WRONG_STUDIES]
)
def test_errors_of_studies_name_the_row_the_value_and_the_expectation(demo, keys, value, message):
    with pytest.raises(ConfigError, match=message):
        config.parse(put(demo, keys, value), "demo.yaml")


def of_other_images(demo, **architecture) -> dict:
    """The demo with an encoder of the matrix that is trained on images of 64 px."""
    larger = demo["datasets"]["cifar10-5k"] | {"format": "eurosat", "members": {}}
    values = put(demo, "datasets.larger", larger)
    values = put(values, "encoders.other.pretraining.dataset", "larger")
    values = put(values, "encoders.later.pretraining", {"dataset": "cifar10-5k", "start": "other"})
    for name in ("other", "later"):
        values = put(values, f"encoders.{name}.pretraining.simclr", {"architecture": architecture})
    return values


@pytest.mark.parametrize("key", ["encoders", "attacked"])
def test_an_encoder_of_the_matrix_for_images_of_another_size_is_named(demo, key):
    message = "'other' is trained on images of 64 px, expected 32 px as the images of cifar10-5k"
    with pytest.raises(ConfigError, match=message):
        config.parse(put(of_other_images(demo), f"transfer_matrix.{key}.1", "other"), "demo.yaml")
    for fits in (
        "later",
        "embedded-simclr-tiny-imagenet",
    ):  # the last training counts; of weights nothing is known
        config.parse(put(of_other_images(demo), f"transfer_matrix.{key}.1", fits), "demo.yaml")
    resizing = put(of_other_images(demo, side=32), f"transfer_matrix.{key}.1", "other")
    config.parse(resizing, "demo.yaml")


def test_a_field_that_is_null_is_taken_away_and_one_that_is_not_given_stays(demo):
    pipeline = config.parse(demo, "demo.yaml").ablation.pipelines[1]
    rows = {(stage, row.choice.segment) for stage, row in pipeline.rows}
    assert ("inversion", "gc-feature_emittable4_reachable-bounded") in rows
    assert ("canceling", "pushed-feature-matching_emittable4_beta0.1") in rows
    assert ("inversion", "feature-matching_emittable4_beta0.1_random_reachable-bounded") in rows
    assert ("label", "feature-matching_emittable4_beta0.1_base-label_reachable-bounded") in rows


NAMES = "gradpc-input, tgda-input, gc-input, .*, emn-input"
MATCHED = {"method": "feature-matching", "beta": 0.1}
WRONG_ROWS = [
    ({"method": "gc-inputs"}, rf"'method' is 'gc-inputs', expected one of {NAMES}"),
    ({"method": "feature-matching-r", "beta": 0.1}, "'method' is 'feature-matching-r', expected one of"),
    ({}, r"method: Field required"),
    (MATCHED | {"norm_cap": 2.0}, r"norm_cap: Extra inputs are not permitted \(found 2\.0\)"),
    ({"method": "gc-input", "beta": 0.1}, "'beta' is 0.1, expected none for gc-input"),
    ({"method": "feature-matching"}, "'beta' is None, expected a value for feature-matching"),
    (MATCHED | {"beta": 0}, r"beta: .*greater than 0 \(found 0\)"),
    (MATCHED | {"beta": -0.1}, r"beta: .*greater than 0"),
    (
        {"method": "gc-feature", "set": "constrained"},
        "'set' is 'constrained', expected free or a norm cap or emittable for gc-feature",
    ),
    ({"method": "gc-input", "set": 2.0}, r"'set' is 2\.0, expected free or .*constrained.* for gc-input"),
    (
        {"method": "exact-feature", "set": "valid"},
        "'set' is 'valid', expected a norm cap or emittable or free",
    ),
    ({"method": "gradpc-input", "set": "free"}, "'set' is 'free', expected none for gradpc-input"),
    ({"method": "gc-feature", "set": 0}, "set.*greater than 0"),
    ({"method": "gc-feature", "set": "all"}, "set.*'free', 'valid', 'constrained' or 'emittable'"),
    (
        {"method": "gc-input", "target": "clean"},
        "'target' is 'clean', expected one of: gradpc-input, gradpc-feature, gradpc-minibatch, reachable, "
        "reachable-bounded, permuted, random-step, for gc-input",
    ),
    (
        {"method": "tgda-input", "target": "gradpc-feature"},
        "'target' is 'gradpc-feature', expected one of: none, for tgda-input",
    ),
    ({"method": "gc-input", "defence": "prayer"}, "'defence' is 'prayer', expected one of magnitude-filter"),
    (
        {"method": "gc-feature", "defence": "magnitude-filter"},
        "'defence' is 'magnitude-filter', expected with attacks that make images; gc-feature makes features",
    ),
    (
        {"method": "gc-input", "defence": "sever"},
        "'defence' is 'sever', expected one that removes poisons alone: magnitude-filter; the others are for "
        "'defence_table'",
    ),
    (
        {"method": "gradpc-input", "defence": "magnitude-filter"},
        "expected with attacks that make images; gradpc-input makes target",
    ),
    ({"method": "gc-input", "scenario": "transfer"}, "'scenario' is 'transfer', expected none"),
    ({"method": "gc-feature", "cap": 4.0}, "'cap' is 4.0, expected none: only the set emittable has one"),
    ({"method": "gc-feature", "set": 2.0, "cap": 4.0}, "'cap' is 4.0, expected none: only the set emittable"),
    ({"method": "gc-feature", "set": "emittable"}, "'cap' is None, expected a norm cap"),
    ({"method": "gc-feature", "set": "emittable", "cap": 0}, r"cap: .*greater than 0 \(found 0\)"),
    (
        {"method": "gc-input", "set": "emittable", "cap": 4.0},
        "'set' is 'emittable', expected free or valid or constrained for gc-input",
    ),
    (
        {"method": "tgda-input", "set": "valid"},
        "'set' is 'valid', expected free or constrained for tgda-input",
    ),
    (
        {"method": "gc-input", "pairing": "within-class"},
        "'pairing' is 'within-class', expected none for gc-input",
    ),
    (
        {"method": "exact-feature-matching", "beta": 0.1, "pairing": "within-class"},
        "'pairing' is 'within-class', expected none for exact-feature-matching",
    ),
    (MATCHED | {"pairing": "far"}, r"pairing: Input should be 'all', 'within-class' or 'random'"),
    (MATCHED | {"pairing": "all"}, "'pairing' is 'all', expected none for feature-matching, which does so"),
    (
        MATCHED | {"pairing": "within-class", "label": "base"},
        "'label' is 'base', expected none where base images are not found among images of all labels",
    ),
    (
        {"method": "exact-feature-matching", "beta": 0.1, "label": "base"},
        "'label' is 'base', expected none where base images are not found among images of all labels",
    ),
    ({"method": "decoder-inversion", "label": "base"}, "'label' is 'base', expected none"),
    (MATCHED | {"label": "zeta"}, r"label: Input should be 'base' \(found \"zeta\"\)"),
    (
        {"method": "gc-input", "budgets": [0.5]},
        r"budgets \[0\.5\] of a row of gc-input, expected some of the",
    ),
    (
        {"method": "gc-input", "budgets": [0.03, 0.5]},
        r"budgets \[0\.03, 0\.5\] of a row of gc-input, expected",
    ),
    ({"method": "gc-input", "budgets": []}, r"budgets"),
    ({"method": "gc-input", "budgets": [0.03, 0.03]}, "none twice"),
]


@pytest.mark.parametrize(("row", "message"), WRONG_ROWS, ids=[str(row) for row, _ in WRONG_ROWS])
def test_errors_of_rows_name_the_row_the_value_and_the_expectation(demo, row, message):
    with pytest.raises(ConfigError, match=message) as caught:
        config.parse(put(demo, "tables.table1.rows.3", row), "demo.yaml")
    # Budgets of its own are compared with the table's.
    assert ("tables.table1" if "budgets" in row else "tables.table1.rows.3") in str(caught.value)


def test_a_row_is_completed_with_the_usual_choices(demo):
    def choices(row: dict) -> tuple:
        found = config.parse(put(demo, "tables.table1.rows", [row]), "demo.yaml").tables["table1"].rows[0]
        return found.set, found.beta, found.target, found.defence

    assert choices({"method": "gradpc-input"}) == (None, None, None, None)
    assert choices({"method": "gc-input"}) == ("free", None, "gradpc-feature", None)
    assert choices({"method": "gc-input", "target": "gradpc-input"}) == ("free", None, "gradpc-input", None)
    assert choices({"method": "tgda-input", "set": "constrained"}) == ("constrained", None, None, None)
    assert choices({"method": "exact-feature"}) == (1.0, None, None, None)
    assert choices({"method": "exact-feature-matching", "beta": 0.1}) == (1.0, 0.1, None, None)
    emittable = {"set": "emittable", "cap": 4.0, "target": "reachable-bounded"}
    assert choices({"method": "gc-feature"} | emittable) == ("emittable", None, "reachable-bounded", None)
    assert choices({"method": "exact-feature", "set": "free"}) == ("free", None, None, None)
    assert choices({"method": "exact-input", "set": "valid"}) == ("valid", None, None, None)
    assert choices({"method": "mislabelled-next"}) == (None, None, None, None)
    defended = MATCHED | {"set": 2.0, "defence": "magnitude-filter"}
    assert choices(defended) == (2.0, 0.1, "gradpc-feature", "magnitude-filter")


def test_a_row_is_run_at_the_tables_budgets_or_at_those_of_its_own(demo):
    """Of which there may be none at which a table has no such column."""
    rows = [{"method": "gc-input"}, {"method": "gc-input", "set": "valid", "budgets": [0.1]}]
    values = put(put(demo, "tables.table1.budgets", [0.03, 0.1]), "tables.table1.rows", rows)
    table = config.parse(values, "demo.yaml").tables["table1"]
    assert [table.budgets_of(row) for row in table.rows] == [(0.03, 0.1), (0.1,)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": "nowhere"}, "figures: 'target' is 'nowhere', expected one of: gradpc-input"),
        ({"cap": None}, "figures: .*'cap' is None, expected a norm cap"),
        ({"set": "free"}, "figures: .*'cap' is 4.0, expected none"),
        (
            {"set": "valid", "cap": None},
            "figures: 'set' is 'valid', expected free or a norm cap or emittable",
        ),
        ({"growth": "table11"}, "figures.growth: 'table11' is unknown, expected one of"),
        (
            {"growth": "table2"},
            r"figures.growth: 'table2' has budgets \[0.03\], expected a table with at least two",
        ),
    ],
)
def test_figures_show_an_attack_that_there_is(demo, change, message):
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        config.parse(demo | {"figures": demo["figures"] | change}, "demo.yaml")


def test_an_encoder_has_an_origin(demo):
    name = next(iter(demo["encoders"]))
    with pytest.raises(ConfigError, match="expected 'weights', 'pretraining' or 'snapshot'"):
        config.parse(put(demo, f"encoders.{name}", {}), "demo.yaml")


WEIGHTS = {"url": "https://example.org/w.pth", "sha256": None}
FOREIGN = [
    ({"format": "moco-v3", "architecture": {"name": "resnet50", "side": 224}}, None),
    ({"format": "moco-v3", "architecture": {"name": "vit-base-16", "side": 224}}, None),
    ({"format": "clip", "architecture": {"name": "clip-resnet50", "side": 224}}, None),
    ({"format": "torchvision", "architecture": {"name": "torchvision:swin_t", "side": 224}}, None),
    (
        {
            "format": "timm",
            "architecture": {"name": "timm:resnet50.a1_in1k", "mean": [0, 0, 0], "std": [1, 1, 1]},
        },
        None,
    ),
    ({"format": "simclr", "architecture": {"width": 16}}, None),
    ({"format": "moco"}, r"format: .*'featpoison', 'moco-v3', 'clip'.*found \"moco\""),
    ({"format": "clip"}, "'architecture' is missing, expected one for format 'clip'"),
    (
        {"architecture": {"name": "resnet50"}},
        "'architecture' is given, expected none for format 'featpoison'",
    ),
    (
        {"format": "clip", "architecture": {"name": "resnet50"}},
        "name: 'resnet50' does not fit format 'clip', expected one of clip-resnet50",
    ),
    (
        {"format": "torchvision", "architecture": {"name": "timm:vgg11"}},
        "expected one of resnet50, torchvision:NAME",
    ),
    (
        {"format": "timm", "architecture": {"name": "resnet-50"}},
        r"architecture\.name: .*match pattern.*found \"resnet-50\"",
    ),
    ({"format": "timm", "architecture": {"name": "timm:"}}, r"architecture\.name: .*match pattern"),
    (
        {"format": "moco-v3", "architecture": {"name": "resnet50", "side": 0}},
        r"architecture\.side: .*greater than 0 \(found 0\)",
    ),
    (
        {"format": "moco-v3", "architecture": {"name": "resnet50", "width": 64}},
        r"\['width'\] is given, expected only with cifar-resnet18",
    ),
    (
        {"format": "moco-v3", "architecture": {"name": "resnet50", "mean": None}},
        "'mean' and 'std': expected both or neither",
    ),
    (
        {"format": "moco-v3", "architecture": {"name": "resnet50", "std": [1, 0, 1]}},
        "expected positive numbers",
    ),
]


@pytest.mark.parametrize(("settings", "message"), FOREIGN, ids=[str(settings) for settings, _ in FOREIGN])
def test_any_encoder_by_name_in_the_configuration_alone(demo, settings, message):
    values = put(demo, "encoders.other", {"weights": WEIGHTS} | settings)
    if message is None:
        found = config.parse(values, "demo.yaml").encoders["other"].conversion
        assert found.format == settings["format"]
        assert found.architecture.side == settings["architecture"].get("side")
    else:
        with pytest.raises(ConfigError, match=rf"(?s)encoders\.other.*{message}"):
            config.parse(values, "demo.yaml")


def test_a_format_is_for_weights_only(demo):
    entry = {"pretraining": {"dataset": "cifar10-5k"}, "format": "simclr", "architecture": {"width": 16}}
    with pytest.raises(ConfigError, match="'format' is 'simclr', expected only with 'weights'"):
        config.parse(put(demo, "encoders.other", entry), "demo.yaml")


def test_the_papers_checkpoints(demo):
    encoders = config.load(ROOT / "workflow/config/paper.yaml").encoders
    assert {
        name: entry.conversion.architecture.name for name, entry in encoders.items() if entry.weights
    } == {
        "moco-v3-resnet50": "resnet50",
        "moco-v3-vit-base-16": "vit-base-16",
        "clip-resnet50": "clip-resnet50",
    }
    assert {entry.conversion.architecture.side for entry in encoders.values() if entry.weights} == {224}
    clip = encoders["clip-resnet50"].weights
    assert clip.sha256 in clip.url


def test_workflow_stops_before_any_job(demo, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(put(demo, "tables.table1.budgets", [0])))
    done = ran(SNAKEMAKE, "-n", "--configfile", path, "--nolock")
    assert done.returncode != 0
    assert "tables.table1.budgets.0" in done.stdout + done.stderr
    assert "found 0" in done.stdout + done.stderr


def test_a_configuration_is_never_completed_from_another(demo, tmp_path):
    del demo["output"]
    path = tmp_path / "without.yaml"
    path.write_text(yaml.safe_dump(demo))
    done = ran(SNAKEMAKE, "-n", "--configfile", path, "--nolock")
    assert done.returncode != 0
    assert "output: Field required" in done.stdout + done.stderr


def test_schema_is_current():
    path = ROOT / "workflow/schemas/config.schema.json"
    assert path.read_text() == config.schema(), f"run: python scripts/write_schema.py {path}"


def test_every_knob_is_explained():
    """Each field of each settings class has a documentation string."""
    from featpoison.config import Config

    def fields(model, seen):
        if model in seen:
            return
        seen.add(model)
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"
            for part in [field.annotation, *getattr(field.annotation, "__args__", ())]:
                if isinstance(part, type) and hasattr(part, "model_fields"):
                    fields(part, seen)

    seen = set()
    fields(Config, seen)
    assert len(seen) > 10
