"""What the attacks say of themselves, and that it fits together."""

import importlib
from pathlib import Path
from typing import get_args

import pytest
from featpoison.attacks import names
from featpoison.attacks.attack import Attack, Need
from featpoison.attacks.choices import Choice, Makes, Tint
from featpoison.attacks.operations import Sizes, Work
from featpoison.common.settings import Settings
from featpoison.records.provenance import module_file

ALL = names.load_all()
every_attack = pytest.mark.parametrize("attack", ALL.values(), ids=ALL)
COPIES = ("mislabelled-random", "mislabelled-next", "mislabelled-influence")
"""They make images without touching a pixel: no encoder, no set."""
SIZES = Sizes(train=500, test=200, side=32, classes=10, features=16, forward=1e6)


def test_all_attacks_are_listed_once_and_in_order():
    assert tuple(ALL) == names.NAMES
    assert len(set(names.NAMES)) == len(names.NAMES)


@every_attack
def test_an_attack_is_named_as_its_file(attack):
    assert isinstance(attack, Attack)
    assert names.load(attack.name) is attack
    module = names.module_of(attack.name)
    path = module_file(module)
    assert path.is_file()
    assert path.stem.replace("_", "-") == attack.name
    assert path == Path(importlib.import_module(module).__file__)


def test_every_file_with_an_attack_is_listed():
    """A new file that nobody lists would never run."""
    folder = module_file("featpoison.attacks.names").parent
    with_attack = {
        path.stem.replace("_", "-") for path in folder.glob("*.py") if "\nATTACK = " in path.read_text()
    }
    assert with_attack == set(names.NAMES)


@every_attack
def test_words_are_those_that_the_types_allow(attack):
    assert attack.makes in get_args(Makes)
    assert attack.tint in get_args(Tint)
    assert attack.pairing in (None, "all", "within-class")
    assert set(attack.needs) <= set(get_args(Need))
    assert len(set(attack.needs)) == len(attack.needs)
    assert set(attack.sets) <= {"free", "valid", "constrained", "emittable", "cap"}
    assert len(set(attack.sets)) == len(attack.sets)
    assert issubclass(attack.settings, Settings)
    assert attack.settings() == attack.settings()  # every field has a default
    assert attack.victim is None or isinstance(attack.victim(), Settings)


def test_attacks_that_share_a_section_share_its_settings():
    classes = {}
    for attack in ALL.values():
        assert classes.setdefault(attack.key, attack.settings) is attack.settings, attack.name
        assert attack.key.isidentifier()
    shared = {"gradpc": 3, "target_search": 2, "feature_matching": 3, "emn": 3, "mislabelled": 3}
    shared |= {"exact_feature": 2}
    for section in classes:
        users = [name for name, attack in ALL.items() if attack.key == section]
        assert len(users) == shared.get(section, 1), section
        if section not in shared:
            assert users == [section.replace("_", "-")]


@every_attack
def test_settings_are_documented_and_say_nothing_that_a_row_says(attack):
    for name, field in attack.settings.model_fields.items():
        assert field.description, f"{attack.key}.{name}"
        assert name not in (*Choice.model_fields, "norm_cap", "constrained")


def test_titles_are_unique():
    titles = [attack.title for attack in ALL.values()]
    assert len({title.casefold() for title in titles}) == len(titles)
    assert all(title.strip() == title != "" for title in titles)


@every_attack
def test_only_attacks_on_poisoned_features_read_them(attack):
    reads_features_of_others = bool({"pairs", "poisoned"} & set(attack.needs))
    assert (attack.poisoned_by is not None) == reads_features_of_others
    assert not {"pairs", "poisoned"} <= set(attack.needs)
    assert (attack.pairing is not None) == ("pairs" in attack.needs)
    if attack.poisoned_by is not None:
        source = names.load(attack.poisoned_by)
        assert source.makes == "features"
        assert attack.makes == "images"
        assert set(attack.sets) <= set(source.sets)  # the row's set is that of these features
        assert attack.default_cap == source.default_cap
        assert "images" in attack.needs


@every_attack
def test_needs_and_choices_fit_what_an_attack_makes(attack):
    assert not attack.has_beta or "pairs" in attack.needs  # beta is the weight of the base image
    assert (attack.default_cap is not None) == (attack.sets[:1] == ("cap",))
    assert not attack.shardable or attack.makes == "images"  # the only program that has shards
    needs, makes = set(attack.needs), attack.makes
    if attack.name in COPIES:
        assert needs == {"images", "features"}
    elif makes in ("images", "noise"):
        assert {"images", "encoder"} <= needs
    assert not attack.by_budget or makes == "target"
    if makes == "target":
        assert "features" in needs
        assert len({"clean", "trajectory"} & needs) == 1  # the heads that it begins at
        assert not {"poisoned", "pairs"} & needs
        assert ("target" in needs) == (attack.follows is not None)
    if attack.follows is not None:
        source = names.load(attack.follows)
        assert source.makes == makes == "target"
        assert source.by_budget == attack.by_budget
    if makes == "features":
        assert "features" in needs
        assert not needs & {"images", "encoder", "decoder"}
    assert bool(attack.sets) == (makes in ("features", "images") and attack.name not in COPIES)
    if {"valid", "constrained"} & set(attack.sets):
        assert makes == "images"
        assert attack.poisoned_by is None
    if "emittable" in attack.sets:  # a set of features
        assert "cap" in attack.sets
        assert makes == "features" or attack.poisoned_by is not None


def test_targeted_attacks_are_those_of_the_paper():
    """Gradient canceling, and what turns its features into images."""
    targeted = {name for name in names.NAMES if names.is_targeted(name)}
    assert targeted == {"gc-input", "gc-feature", "decoder-inversion", "feature-matching"}


def test_what_makes_what():
    heads = (
        "gradpc-input",
        "gradpc-feature",
        "gradpc-minibatch",
        "reachable",
        "reachable-bounded",
        "permuted",
        "random-step",
    )
    assert names.making("target") == heads
    assert {name for name in heads if names.load(name).by_budget} == set(heads[3:])
    exact = ("exact-feature", "exact-cosine", "exact-spectral")
    assert names.making("features") == ("gc-feature", *exact, "pushed-feature")
    assert names.making("noise") == ("emn-original", "emn-end-to-end", "emn-input")
    sorts = [names.making(one) for one in get_args(Makes)]
    assert sorted(sum(sorts, ())) == sorted(names.NAMES)
    assert names.making(*get_args(Makes)) == names.NAMES


@every_attack
def test_work_and_memory_grow_with_the_poisons_and_are_never_negative(attack):
    settings = attack.settings()
    few, many = (attack.work(SIZES, settings, n) for n in (10, 1000))
    less, more = (attack.memory(SIZES, settings, n) for n in (10, 1000))
    assert isinstance(few, Work)
    assert 0 <= few.flops <= many.flops
    assert 0 <= few.double_flops <= many.double_flops
    assert 0 < less <= more
    if attack.makes in ("features", "images"):
        if attack.name not in COPIES:
            assert few.flops + few.double_flops < many.flops + many.double_flops
        assert few.bytes < many.bytes
        assert less < more


@pytest.mark.parametrize("load", [names.load, names.module_of])
@pytest.mark.parametrize("name", ["gc_input", "GC-input", "attack", "names", "", "gc-input_free"])
def test_an_unknown_name_is_named(load, name):
    with pytest.raises(ValueError, match=f"attack '{name}' is unknown, expected one of gradpc-input, "):
        load(name)
