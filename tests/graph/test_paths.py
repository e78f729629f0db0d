"""Paths, their wildcards, and the code behind a product."""

import re

import pytest
from featpoison.attacks import choices
from featpoison.attacks import names as attacks
from featpoison.graph import paths
from featpoison.graph.paths import one_of, segments_making, segments_of, wildcards_of
from featpoison.records import provenance

PROGRAMS = {
    "target": "make_target_head.py",
    "features": "poison_features.py",
    "images": "poison_images.py",
    "noise": "make_emn_noise.py",
}
VALUES = {
    "dataset": "cifar10-5k",
    "encoder": "simclr.v2",
    "target": "gradpc-feature",
    "attack": "feature-matching_cap2.5_beta0.25_gradpc-feature",
    "pairing": "within-class",
    "onto": "onto",
    "defence": "magnitude-filter",
    "budget": "1e-05",
    "seed": "12",
    "kind": "end-to-end",
    "poisoning": "poisoned-encoder_rate0.01-seed3",
    "poisoned": "simclr.v2-poisoned",
}


@pytest.mark.parametrize("pattern", paths.PATTERNS)
def test_wildcards_are_read_back_from_every_path(pattern):
    names = re.findall(r"\{(\w+)\}", pattern)
    expected = {name: VALUES[name] for name in names}
    assert wildcards_of(pattern.format(**expected)) == expected


def test_a_path_belongs_to_one_stage():
    made = [pattern.format(**VALUES) for pattern in paths.PATTERNS]
    assert len(set(made)) == len(made)
    for path in made:
        expressions = [re.sub(r"\\{\w+\\}", "[^/]+", re.escape(pattern)) for pattern in paths.PATTERNS]
        assert sum(bool(re.fullmatch(one, path)) for one in expressions) == 1, path


def test_other_paths_have_no_wildcards():
    others = (
        "figures/demo/table1.csv",
        "data/images/a/b.h5",
        "data/poisons/a/b/c/eps1.h5",
        paths.PUBLISHED,
        "",
    )
    assert [wildcards_of(path) for path in others] == [{}] * len(others)
    shard = paths.POISON_SHARD.format(**VALUES, scatteritem="2-of-3")
    assert wildcards_of(shard) == {}


def test_where_products_lie():
    known = {"dataset": "toy", "encoder": "tiny", "budget": "0.03", "seed": 1}
    attack = choices.Choice(method="gc-input", set="constrained", target="gradpc-feature").segment
    found = {
        paths.IMAGES: "data/images/toy.h5",
        paths.TARGET: "data/targets/toy/tiny/gradpc-feature.h5",
        paths.TARGET_OF_BUDGET: "data/targets/toy/tiny/gradpc-feature/eps0.03.h5",
        paths.TRAJECTORY: "data/heads/toy/tiny/trajectory.h5",
        paths.PAIRS: f"data/pairs/toy/tiny/{attack}/all/eps0.03-seed1.h5",
        paths.POISONS: f"data/poisons/toy/tiny/{attack}/eps0.03-seed1.h5",
        paths.DEFENDED: f"data/defended/toy/tiny/{attack}/none/eps0.03-seed1.h5",
        paths.VICTIMS: f"data/victims/toy/tiny/{attack}/none/eps0.03.h5",
        paths.NOISE: f"data/emn/toy/tiny/{attack}/seed1.h5",
    }
    known |= {
        "attack": attack,
        "target": "gradpc-feature",
        "pairing": "all",
        "defence": "none",
        "onto": "onto",
    }
    assert {pattern: pattern.format(**known) for pattern in found} == found


def test_names_in_patterns_are_no_patterns():
    assert re.fullmatch(one_of(["a.b", "c"]), "a.b")
    assert not re.fullmatch(one_of(["a.b", "c"]), "axb")
    assert not re.fullmatch(one_of([]), "")
    assert not re.fullmatch(segments_of(["gc-input"]), "gc-input-2_free")
    assert re.fullmatch(segments_of(["gc-input"]), "gc-input_free_gradpc-feature")
    assert re.fullmatch(segments_of(["emn-input"]), "emn-input")


def test_every_attacks_segment_is_made_by_the_rule_of_its_kind_alone():
    for name, attack in attacks.load_all().items():
        usual = attack.default_cap if attack.default_cap else next(iter(attack.sets), None)
        target = "gradpc-feature" if attacks.is_targeted(name) else None
        beta = 0.25 if attack.has_beta else None
        segment = choices.Choice(method=name, set=usual, beta=beta, target=target).segment
        kinds = [kind for kind in PROGRAMS if re.fullmatch(segments_making(kind), segment)]
        assert kinds == [attack.makes]


# The code behind a product


def code(program: str, *chosen: str) -> list[str]:
    """The files that a product's version is of."""
    files = [provenance.module_file(module) for module in chosen]
    closure = provenance.import_closure(provenance.SCRIPTS / program, *files)
    return [provenance.relative(path) for path in closure]


def test_the_version_is_that_of_the_record():
    module = attacks.module_of("gc-feature")
    expected = provenance.code_version(
        provenance.SCRIPTS / "poison_features.py", provenance.module_file(module)
    )
    assert paths.code("poison_features.py", module) == expected


def own_modules(name: str) -> set[str]:
    """The modules of attacks that are an attack's own file, of which only the chosen one may count."""
    attack = attacks.load(name)
    files = code(PROGRAMS[attack.makes], attacks.module_of(name))
    stems = {path.rsplit("/", 1)[1].removesuffix(".py") for path in files if "/attacks/" in path}
    return stems & {other.replace("-", "_") for other in attacks.NAMES}


KNOWN_DEFENCES = {
    "exact-cosine": ("defences/cosine_head", "defences/defence", "downstream/victims"),
    "exact-spectral": ("defences/ranking",),
}
"""The modules that attacks which know a defence have with it."""


@pytest.mark.parametrize("name", attacks.NAMES)
def test_the_code_of_an_attack_is_its_own_and_no_other_attacks(name):
    # The same attack on other features or within another set, and a search whose candidates that attack is
    # tried on.
    matched = ("exact-feature-matching", "pushed-feature-matching")
    shared = {one: {"feature_matching"} for one in matched} | {"reachable-bounded": {"gc_feature"}}
    shared |= {one: {"exact_feature"} for one in KNOWN_DEFENCES}
    assert own_modules(name) == {name.replace("-", "_")} | shared.get(name, set())


@pytest.mark.parametrize("name", attacks.NAMES)
def test_no_attack_depends_on_measures_victims_tables_or_the_lists_of_names(name):
    attack = attacks.load(name)
    files = code(PROGRAMS[attack.makes], attacks.module_of(name))
    rooms = ("defences", "results", "papers", "render", "graph", "costs", "audit", "pretraining")
    modules = (
        "downstream/metrics",
        "downstream/victims",
        "downstream/poison_measures",
        "attacks/names",
        "config",
    )
    unwanted = [f"featpoison/{one}" for one in (*[f"{room}/" for room in rooms], *modules)]
    known = [f"scripts/featpoison/{module}.py" for module in KNOWN_DEFENCES.get(name, ())]
    known += ["scripts/featpoison/defences/__init__.py"] if known else []
    assert {path for path in files if any(one in path for one in unwanted)} == set(known)


def modules_of(program: str, *chosen: str) -> list[str]:
    """The library's part of the code, without `__init__.py`, which are empty."""
    return [path for path in code(program, *chosen) if "/featpoison/" in path and "__init__" not in path]


@pytest.mark.parametrize(
    ("program", "chosen", "most"),
    [
        ("poison_features.py", "gc-feature", 26),
        ("make_target_head.py", "gradpc-feature", 21),
        ("make_target_head.py", "reachable", 30),
        ("poison_images.py", "feature-matching", 33),
        ("pair_features.py", None, 10),
        ("gather_shards.py", None, 6),
        ("defend_poisons.py", None, 24),  # a defence may train heads
        ("evaluate_defence.py", None, 26),
        ("evaluate_attack.py", None, 40),
        ("collect_table.py", None, 18),
    ],
)
def test_products_depend_on_few_modules(program, chosen, most):
    """Upper bounds as they are today: what grows here runs more again after an edit."""
    found = modules_of(program, *([attacks.module_of(chosen)] if chosen else []))
    assert len(found) <= most, found


def test_attacks_on_features_know_neither_encoders_nor_heads_training():
    for name in ("gc-feature", "gradpc-feature"):
        found = modules_of(PROGRAMS[attacks.load(name).makes], attacks.module_of(name))
        for room in ("encoders/", "featpoison/heads.py", "solvers/", "datasets/"):
            assert not [path for path in found if room in path], name
