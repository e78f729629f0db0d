"""What each step reads and how its program is called, without Snakemake."""

import json
from types import SimpleNamespace
from typing import get_args

import pytest
import yaml
from featpoison import config
from featpoison.attacks import names as attacks
from featpoison.attacks.attack import Need
from featpoison.attacks.choices import Choice
from featpoison.common.settings import Settings
from featpoison.costs.resources import Resources
from featpoison.graph.figures import Figures
from featpoison.graph.paths import wildcards_of
from featpoison.graph.steps import SETTINGS, Steps, declared_settings
from featpoison.heads import SGD100
from featpoison.solvers.newton import Converged
from helpers import ROOT

PLACE = {"dataset": "cifar10-5k", "encoder": "embedded-simclr-cifar10"}
HERE = "cifar10-5k/embedded-simclr-cifar10"
FILES = {
    "images": "data/images/cifar10-5k.h5",
    "encoder": "data/encoders/embedded-simclr-cifar10.safetensors",
    "features": f"data/features/{HERE}.h5",
    "clean": f"data/heads/{HERE}/clean.h5",
    "trajectory": f"data/heads/{HERE}/trajectory.h5",
    "target": f"data/targets/{HERE}/gradpc-feature.h5",
    "decoder": f"data/decoders/{HERE}/skip.safetensors",
}


class Wildcards(SimpleNamespace):
    """As Snakemake passes them."""

    def items(self):
        return vars(self).items()


def wildcards(**known: str) -> Wildcards:
    return Wildcards(**PLACE, **known)


def at(attack: str, **known: str) -> Wildcards:
    return wildcards(attack=attack, budget="0.03", seed="1", **known)


@pytest.fixture(scope="module")
def values() -> dict:
    return yaml.safe_load((ROOT / "workflow/config/demo.yaml").read_text())


@pytest.fixture(scope="module")
def steps(values) -> Steps:
    return Steps(config.parse(values, "demo.yaml"))


def files(*needs: str, **more: str) -> dict[str, str]:
    return {need: FILES[need] for need in needs} | more


INPUTS = [
    (wildcards(target="gradpc-feature"), files("features", "clean")),
    (wildcards(target="gradpc-input"), files("features", "images", "encoder", "clean")),
    (wildcards(target="gradpc-minibatch"), files("features", "clean")),
    (wildcards(target="reachable", budget="0.1"), files("features", "trajectory")),
    (wildcards(target="reachable-bounded", budget="0.1"), files("features", "trajectory")),
    (wildcards(target="permuted", budget="0.1"), files("features", "clean")),
    (at("gc-feature_cap2_gradpc-feature"), files("features", "target")),
    (
        at("gc-feature_emittable4_reachable-bounded"),
        files("features", target=f"data/targets/{HERE}/reachable-bounded/eps0.03.h5"),
    ),
    (
        at("gc-input_valid_permuted"),
        files("images", "encoder", "features", target=f"data/targets/{HERE}/permuted/eps0.03.h5"),
    ),
    (
        at("gc-feature_free_gradpc-input"),
        files("features", target=f"data/targets/{HERE}/gradpc-input.h5"),
    ),
    (at("exact-feature_cap1"), files("features")),
    (at("gc-input_constrained_gradpc-feature"), files("images", "encoder", "features", "target")),
    (at("tgda-input_free"), files("images", "encoder", "features", "clean")),
    (at("exact-input_free"), files("images", "encoder", "features")),
    (at("mislabelled-influence"), files("images", "features")),
    (
        at("decoder-inversion_cap2_gradpc-feature"),
        files(
            "images",
            "encoder",
            "decoder",
            poisoned=f"data/poisoned_features/{HERE}/gc-feature_cap2_gradpc-feature/eps0.03-seed1.h5",
        ),
    ),
    (
        at("feature-matching_cap2_beta0.1_gradpc-feature"),
        files(
            "images",
            "encoder",
            pairs=f"data/pairs/{HERE}/gc-feature_cap2_gradpc-feature/all/eps0.03-seed1.h5",
        ),
    ),
    (
        at("feature-matching_emittable4_beta0.1_within-class_reachable"),
        files(
            "images",
            "encoder",
            pairs=f"data/pairs/{HERE}/gc-feature_emittable4_reachable/within-class/eps0.03-seed1.h5",
        ),
    ),
    (
        at("exact-feature-matching_cap1_beta0.1"),
        files(
            "images",
            "encoder",
            pairs=f"data/pairs/{HERE}/exact-feature_cap1/within-class/eps0.03-seed1.h5",
        ),
    ),
    (wildcards(attack="emn-end-to-end", seed="1"), files("images", "encoder")),
]


@pytest.mark.parametrize(("asked", "expected"), INPUTS, ids=lambda one: getattr(one, "attack", ""))
def test_an_attack_reads_what_it_needs(steps, asked, expected):
    assert steps.attack_inputs(asked) == expected


def test_the_cases_above_are_all_needs_and_all_kinds(steps):
    seen = {need for _, expected in INPUTS for need in expected}
    declared = {need for attack in attacks.load_all().values() for need in attack.needs}
    assert seen == declared <= set(get_args(Need))
    assert {steps.attack(asked).makes for asked, _ in INPUTS} == {"target", "features", "images", "noise"}


@pytest.mark.parametrize("asked", [asked for asked, _ in INPUTS], ids=lambda one: getattr(one, "attack", ""))
def test_an_attack_is_called_with_its_choices_settings_and_files(steps, asked):
    attack, options = steps.attack(asked), steps.attack_options(asked)
    said = dict(zip(options[::2], options[1::2], strict=True))
    assert said.pop("--attack") == attack.name
    assert Choice.model_validate_json(said.pop("--choice")) == steps.choice(asked)
    settings = attack.settings.model_validate_json(said.pop("--settings"))
    assert settings == steps.config.settings_of(attack)
    victim = said.pop("--victim", None)
    assert (victim is not None) == (attack.victim is not None)
    if attack.victim:
        declared = {SGD100: steps.config.victims.sgd100, Converged: steps.config.victims.converged}
        assert attack.victim.model_validate_json(victim) == declared[attack.victim]
    assert said == {f"--{need}": path for need, path in steps.attack_inputs(asked).items()}


def test_a_shard_is_called_as_the_whole_but_for_its_name(steps):
    asked = at("feature-matching_cap2_beta0.1_gradpc-feature", scatteritem="2-of-3")
    assert steps.shard_options(asked) == [*steps.attack_options(asked), "--shard", "2-of-3"]


def test_choices_are_said_without_what_an_attack_does_not_have(steps):
    said = dict(zip(*[iter(steps.attack_options(at("exact-feature_cap1")))] * 2, strict=True))
    assert json.loads(said["--choice"]) == {"method": "exact-feature", "set": 1.0}


def test_only_attacks_of_independent_rows_are_spread_and_only_where_asked(values, steps):
    assert steps.shardable == []
    assert steps.whole == list(attacks.making("images"))
    spread = Steps(config.parse(values | {"shards": 4}, "demo.yaml"))
    assert spread.shardable == ["feature-matching", "exact-feature-matching", "pushed-feature-matching"]
    assert sorted(spread.whole + spread.shardable) == sorted(attacks.making("images"))


def test_victims_of_images_are_trained_on_their_8_bit_copies_too(steps):
    attack = "gc-input_free_gradpc-feature"
    folder = f"data/poisons/{HERE}/{attack}"
    poisons = [f"{folder}/eps0.03-seed{seed}.h5" for seed in (0, 1)]
    asked = wildcards(attack=attack, defence="none", budget="0.03")
    assert steps.victim_inputs(asked) == files("features", "target", "images", "encoder", poisons=poisons)
    options = steps.victim_options(asked)
    assert options[options.index("--poisons") + 1 :][:2] == poisons
    assert options[options.index("--poison-seeds") + 1 :] == ["0", "1"]


def test_victims_of_features_read_no_images(steps):
    asked = wildcards(attack="gc-feature_cap2_gradpc-input", defence="none", budget="1")
    found = steps.victim_inputs(asked)
    assert found.keys() == {"features", "target", "poisons"}
    assert found["target"] == f"data/targets/{HERE}/gradpc-input.h5"  # the residual is that at its own target
    assert found["poisons"][0] == f"data/poisoned_features/{HERE}/gc-feature_cap2_gradpc-input/eps1-seed0.h5"


@pytest.mark.parametrize("attack", ["exact-input_free", "mislabelled-next", "exact-feature_cap1"])
def test_an_attack_without_a_target_is_evaluated_without_one(steps, attack):
    asked = wildcards(attack=attack, defence="none", budget="0.03")
    assert "target" not in steps.victim_inputs(asked)
    assert "--target" not in steps.victim_options(asked)


def test_the_residual_is_that_at_the_target_of_the_same_budget(steps):
    for budget in ("0.03", "0.1"):
        asked = wildcards(attack="gc-feature_free_reachable", defence="none", budget=budget)
        assert steps.victim_inputs(asked)["target"] == f"data/targets/{HERE}/reachable/eps{budget}.h5"


def test_a_label_rule_changes_the_labels_that_victims_see_and_no_poison(steps):
    own, other, within = (
        wildcards(attack=f"feature-matching_cap2_beta0.1{rule}_gradpc-feature", defence="none", budget="0.03")
        for rule in ("", "_base-label", "_within-class")
    )
    assert steps.victim_inputs(own) == steps.victim_inputs(other)
    assert steps.victim_options(other) == [*steps.victim_options(own), "--base-labels"]
    assert "--base-labels" not in steps.victim_options(own) + steps.victim_options(within)
    assert not set(steps.poison_files(within)) & set(steps.poison_files(own))


def test_only_heads_that_depend_on_the_budget_are_told_it(steps):
    assert sorted(steps.targets + steps.targets_of_budget) == sorted(attacks.making("target"))
    for name in steps.targets:
        assert steps.target_file(name, **PLACE) == f"data/targets/{HERE}/{name}.h5"
        assert "--budget" not in steps.target_options(wildcards(target=name))
    for name in steps.targets_of_budget:
        assert steps.target_file(name, budget="0.1", **PLACE) == f"data/targets/{HERE}/{name}/eps0.1.h5"
        assert steps.target_options(wildcards(target=name, budget="0.1"))[-2:] == ["--budget", "0.1"]


def test_defended_victims_see_what_the_defence_lets_pass(steps):
    attack = "feature-matching_cap2_beta0.1_gradpc-feature"
    asked = wildcards(attack=attack, defence="magnitude-filter", budget="0.03")
    defended = f"data/defended/{HERE}/{attack}/magnitude-filter/eps0.03-seed1.h5"
    assert steps.poison_files(asked)[1] == defended
    one = at(attack, defence="magnitude-filter")
    poisons = f"data/poisons/{HERE}/{attack}/eps0.03-seed1.h5"
    assert steps.defence_inputs(one) == files("features", "images", poisons=poisons)
    options = steps.defence_options(one)
    assert options[:4] == ["--defence", "magnitude-filter", "--settings", "{}"]
    assert options[4:] == ["--features", FILES["features"], "--images", FILES["images"], "--poisons", poisons]


def test_pairs_are_sought_where_the_path_says(steps):
    for pairing, seed in {"all": [], "within-class": [], "random": ["--seed", "3"]}.items():
        assert steps.pairing_options(wildcards(pairing=pairing, seed="3")) == ["--pairing", pairing, *seed]
    asked = at("exact-feature-matching_cap1_beta0.1_all")
    pairs = f"data/pairs/{HERE}/exact-feature_cap1/all/eps0.03-seed1.h5"
    assert steps.attack_inputs(asked)["pairs"] == pairs


def test_a_target_that_is_made_from_another_one_reads_that_of_the_same_budget(steps):
    asked = wildcards(target="random-step", budget="0.1")
    made = steps.attack_inputs(asked)
    assert made["target"] == f"data/targets/{HERE}/reachable-bounded/eps0.1.h5"
    assert made.keys() == {"features", "trajectory", "target"}
    assert f"--target {made['target']}" in " ".join(steps.target_options(asked))


# Settings


def test_names_of_settings_and_of_choices_do_not_collide():
    """A record holds both side by side."""
    taken = {*Choice.model_fields, "eps_d", "poison_seed", "victim", "shard"}
    for attack in attacks.load_all().values():
        assert issubclass(attack.settings, Settings)
        assert not taken & attack.settings.model_fields.keys(), attack.name


PRODUCTS = [
    ("fetch_dataset", FILES["images"], "datasets.cifar10-5k"),
    ("import_encoder", FILES["encoder"], "encoders.embedded-simclr-cifar10.weights"),
    ("train_heads", FILES["clean"], "victims"),
    ("train_trajectory", FILES["trajectory"], "trajectory"),
    ("measure_reach", f"data/reach/{HERE}.h5", "attacks.target_search"),
    ("measure_norms", f"data/norms/{HERE}.h5", "longest_features"),
    ("make_target_head", FILES["target"], "attacks.gradpc"),
    ("make_target_head", f"data/targets/{HERE}/permuted/eps0.03.h5", "attacks.target_search"),
    ("make_target_head", f"data/targets/{HERE}/reachable-bounded/eps0.03.h5", "attacks.reachable_bounded"),
    (
        "poison_features",
        f"data/poisoned_features/{HERE}/gc-feature_cap2_gradpc-feature/eps0.03-seed0.h5",
        "attacks.gc_feature",
    ),
    (
        "poison_images",
        f"data/poisons/{HERE}/exact-feature-matching_cap1_beta0.1/eps0.03-seed0.h5",
        "attacks.feature_matching",
    ),
    ("make_emn_noise", f"data/emn/{HERE}/emn-original/seed0.h5", "attacks.emn"),
    ("train_decoder", FILES["decoder"], "attacks.decoder_inversion"),
    (
        "defend_poisons",
        f"data/defended/{HERE}/gc-input_free_gradpc-feature/magnitude-filter/eps0.03-seed0.h5",
        "defences.magnitude_filter",
    ),
    ("transform_features", f"data/transformed/{HERE}/blur.h5", "defences.blur"),
    (
        "evaluate_defence",
        f"data/defended_victims/{HERE}/exact-feature_cap1/sever/eps0.03.h5",
        "defences.sever",
    ),
    ("evaluate_defence", f"data/defended_heads/{HERE}/deep-knn.h5", "defences.deep_knn"),
    ("evaluate_attack", f"data/victims/{HERE}/tgda-input_free/none/eps0.03.h5", "victims"),
    (
        "evaluate_transfer",
        f"data/transfers/{HERE}/embedded-simclr-tiny-imagenet/tgda-input_free/eps0.03.h5",
        "victims",
    ),
    ("evaluate_emn", f"data/victims/{HERE}/emn-input/none/epsinf.h5", "victims"),
    ("evaluate_emn", f"data/victims/{HERE}/emn-original/none/epsinf.h5", "network_victims"),
]


@pytest.mark.parametrize(("program", "path", "key"), PRODUCTS, ids=[f"{one[0]} {one[2]}" for one in PRODUCTS])
def test_settings_of_a_product_are_said_once_for_workflow_and_audit(steps, program, path, key):
    declared = declared_settings(steps, path, f"scripts/{program}.py")
    assert declared is not None
    assert declared[0] == key
    asked = Wildcards(**wildcards_of(path))
    assert json.loads(steps.settings(program)(asked)) == declared[1]


def test_programs_with_settings_are_all_looked_at():
    elsewhere = {
        "pretrain_encoder",
        "poison_pretraining",
        "screen_pretraining",
        "take_snapshot",
    }  # test_pretraining_steps.py
    assert {program for program, _, _ in PRODUCTS} | elsewhere == set(SETTINGS)


def test_what_is_no_longer_configured_has_no_settings(values, steps):
    assert declared_settings(steps, "data/images/gone.h5", "fetch_dataset") == ("datasets.gone", None)
    assert declared_settings(steps, FILES["features"], "scripts/extract_features.py") is None
    assert declared_settings(steps, "figures/demo/table1.csv", "scripts/collect_table.py") is None


# Figures


def test_figures_show_products_of_the_configured_set_and_budget(steps):
    shown, none = Figures(steps.config), Wildcards()
    matching = f"data/poisons/{HERE}/feature-matching_emittable4_beta0.25_reachable-bounded/eps0.03-seed0.h5"
    assert shown.first_shown(none) == matching
    assert len(shown.shown_poisons(none)) == 3
    canceled = f"data/poisoned_features/{HERE}/gc-feature_emittable4_reachable-bounded/eps0.03-seed0.h5"
    assert shown.canceled_features(none) == canceled
    assert shown.input_poisons(none).endswith("/gc-input_free_reachable-bounded/eps0.03-seed0.h5")
    assert shown.target(none) == f"data/targets/{HERE}/reachable-bounded/eps0.03.h5"
    assert len(shown.figure_files) == 2 * 12


# Resources


def planned(values: dict, **changes) -> Resources:
    return Resources(config.parse(values | changes, "demo.yaml"))


def test_without_gpus_nothing_asks_for_one(values):
    resources = planned(values)
    assert resources.gpu == resources.attack_gpu(at("gc-input_free_gradpc-feature")) == 0
    assert resources.memory(8, "poison_images")(at("gc-input_free_gradpc-feature"), 1) == 16000
    assert resources.minutes(15, "poison_images")(at("gc-input_free_gradpc-feature"), 1) == 15


def test_attacks_worth_a_gpu_ask_for_one(values):
    resources = planned(values, gpu=True)
    assert resources.attack_gpu(at("gc-input_free_gradpc-feature")) == 1
    assert resources.attack_gpu(wildcards(target="gradpc-feature")) == 0


def test_resources_double_with_each_attempt_and_grow_with_the_work(values):
    resources = planned(values, gpu=True)
    memory, minutes = resources.memory(8, "poison_images"), resources.minutes(15, "poison_images")
    small = at("gc-input_free_gradpc-feature")
    large = Wildcards(**vars(small) | {"budget": "1000"})
    for resource in (memory, minutes):
        assert 2 * resource(small, 1) - 1 <= resource(small, 2) <= 2 * resource(small, 1)
        assert resource(large, 1) > resource(small, 1)


def test_a_shard_needs_its_part_of_the_whole(values):
    """The rule of a shard takes over the resources of the rule that makes the whole."""
    attack, fixed = "feature-matching_cap2_beta0.1_gradpc-feature", 8000
    whole = planned(values, gpu=True).memory(8, "poison_images")(at(attack), 1) - fixed
    spread = planned(values, gpu=True, shards=4).memory(8, "poison_images")
    assert spread(at(attack, scatteritem="2-of-4"), 1) - fixed == pytest.approx(whole / 4, abs=1)
    other = at("gc-input_free_gradpc-feature")  # whose rows depend on each other
    assert spread(other, 1) == planned(values, gpu=True).memory(8, "poison_images")(other, 1)
