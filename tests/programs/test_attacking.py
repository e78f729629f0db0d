"""The programs that run attacks: their products and records, and the usage errors that they name."""

import json
from pathlib import Path

import numpy as np
import pytest
from featpoison import store
from featpoison.attacks import names
from featpoison.heads import SGD100
from featpoison.solvers.newton import Converged

PROGRAMS = {
    "target": "make_target_head",
    "features": "poison_features",
    "images": "poison_images",
    "noise": "make_emn_noise",
}
CHOICES = {
    "gradpc-feature": {},
    "gradpc-minibatch": {},
    "reachable": {},
    "reachable-bounded": {},
    "permuted": {},
    "gc-feature": {"set": 0.5, "target": "gradpc-feature"},
    "exact-feature": {"set": 1.0},
    "gc-input": {"set": "constrained", "target": "gradpc-feature"},
    "feature-matching": {"set": "free", "beta": 0.25, "target": "gradpc-feature"},
    "decoder-inversion": {"set": "free", "target": "gradpc-feature"},
    "emn-input": {},
    "mislabelled-influence": {},
}
SETTINGS = {
    "gradpc-feature": {"eps_w": 2.0},
    "gradpc-minibatch": {"draws": 2},
    "reachable": {"share": 0.5},
    "reachable-bounded": {"iterations": 3, "steps_per_octave": 1},
    "permuted": {"share": 0.5},
    "gc-feature": {"iterations": 5},
    "exact-feature": {"epochs": 1},
    "gc-input": {"epochs": 2, "batch_size": 3, "precision": "float32"},
    "feature-matching": {"steps": 3, "batch_size": 3, "precision": "float32"},
    "decoder-inversion": {"seed": 7},  # of the decoder, beside the poison seed
    "mislabelled-influence": {"tolerance": 1e-3},
    "emn-input": {"steps": 1, "training_steps": 1, "max_rounds": 1, "precision": "float32"},
}


VICTIMS = {Converged: {"ridge": 0.01}, SGD100: {"epochs": 12}}


def arguments_of(name, files, **changes):
    """What the workflow passes for an attack, as a dictionary; None leaves an option out."""
    attack = names.load(name)
    options = {
        "--attack": name,
        "--choice": json.dumps({"method": name} | CHOICES[name]),
        "--settings": json.dumps(SETTINGS[name]),
    }
    options |= {f"--{need}": files[need] for need in attack.needs}
    if attack.makes != "target":
        options["--seed"] = 3
    if attack.makes in ("features", "images") or attack.by_budget:
        options["--budget"] = 0.1
    if attack.victim:
        options["--victim"] = json.dumps(VICTIMS[attack.victim])
    options |= {f"--{key}": value for key, value in changes.items()}
    return [part for pair in options.items() if pair[1] is not None for part in pair]


@pytest.mark.parametrize("name", CHOICES)
def test_a_product_says_what_made_it(name, files, execute, tmp_path):
    attack, output = names.load(name), tmp_path / "made.h5"
    execute(PROGRAMS[attack.makes], *arguments_of(name, files), output)
    record, attributes = store.read_provenance(output), store.read_attributes(output)
    assert record["program"] == f"scripts/{PROGRAMS[attack.makes]}.py"
    assert record["chosen"] == [f"scripts/featpoison/attacks/{name.replace('-', '_')}.py"]
    assert {Path(path) for path in record["inputs"]} == {files[need] for need in attack.needs}
    said = record["settings"]
    assert said["method"] == name
    assert {key: said[key] for key in CHOICES[name]} == CHOICES[name]
    assert {key: said[key] for key in SETTINGS[name]} == SETTINGS[name]
    assert said.get("poison_seed") == (None if attack.makes == "target" else 3)
    assert said.get("eps_d") == (0.1 if attack.makes in ("features", "images") or attack.by_budget else None)
    assert said.get("victim", {}).items() >= VICTIMS.get(attack.victim, {}).items()
    assert ("victim" in said) == (attack.victim is not None)
    assert "shard" not in said
    assert attributes.get("eps_d") == said.get("eps_d")
    if attack.makes in ("features", "images"):
        assert len(store.read(output, "labels")["labels"]) == 4  # round(0.1 * 40)
    assert not list(tmp_path.glob(".*"))  # the state of long work is gone


def test_the_choice_of_the_row_counts(files, execute, tmp_path):
    """A cap of half the mean clean norm, and the same attack free."""
    mean = np.linalg.norm(store.read(files["features"], "train")["train"], axis=1).mean()
    found = {}
    for kept_in in (0.5, "free"):
        choice = json.dumps({"method": "gc-feature", "set": kept_in, "target": "gradpc-feature"})
        execute("poison_features", *arguments_of("gc-feature", files, choice=choice), tmp_path / "made.h5")
        found[kept_in] = np.linalg.norm(
            store.read(tmp_path / "made.h5", "features")["features"], axis=1
        ).max()
    assert found[0.5] <= 0.5 * mean * (1 + 1e-6)
    assert found["free"] > 0.5 * mean


def test_a_shard_is_named_in_its_record(files, execute, tmp_path):
    execute("poison_images", *arguments_of("feature-matching", files, shard="2-of-2"), tmp_path / "part.h5")
    assert store.read_provenance(tmp_path / "part.h5")["settings"]["shard"] == "2-of-2"
    assert len(store.read(tmp_path / "part.h5", "base")["base"]) == 1  # of blocks of three rows and one


@pytest.mark.parametrize(
    "case",
    [
        ("gc-input", {"encoder": None}, "--encoder is missing, expected for gc-input"),
        (
            "gc-input",
            {"pairs": "pairs"},
            "--pairs: gc-input does not read it, expected only --images --encoder",
        ),
        (
            "gc-input",
            {"shard": "1-of-2"},
            "--shard: the rows of gc-input depend on each other, expected none",
        ),
        (
            "gc-input",
            {"choice": '{"method": "tgda-input"}'},
            "--choice: of tgda-input, expected one of gc-input",
        ),
        (
            "gc-input",
            {"attack": "gc-feature"},
            "--attack: gc-feature makes features, expected one that makes images",
        ),
        ("gc-input", {"attack": "no-attack"}, "--attack: 'no-attack' is unknown"),
        # A module without an attack.
        (
            "gc-input",
            {"attack": "input-space"},
            "--attack: 'input-space' is unknown",
        ),
        ("gc-input", {"attack": "gc_input"}, "--attack: 'gc_input' is unknown"),
        ("gc-input", {"seed": None}, "the following arguments are required: --seed"),
        ("gc-input", {"images": "nowhere.h5"}, "--images: nowhere.h5 does not exist"),
        ("reachable", {"budget": None}, "--budget: expected one for reachable"),
        ("gradpc-feature", {"budget": 0.1}, "--budget: expected none for gradpc-feature"),
        ("permuted", {"trajectory": "trajectory"}, "--trajectory: permuted does not read it"),
        ("emn-input", {"devices": -1}, "--devices: -1, expected 0 or more"),
        ("feature-matching", {"shard": "3-of-2"}, "'3-of-2', expected one of 1-of-n to n-of-n"),
    ],
)
def test_wrong_usage_is_named(case, files, execute, tmp_path, capsys):
    name, changes, message = case
    changes = {key: files.get(value, value) for key, value in changes.items()}
    with pytest.raises(SystemExit) as stopped:
        execute(PROGRAMS[names.load(name).makes], *arguments_of(name, files, **changes), tmp_path / "made.h5")
    assert stopped.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": '{"epoch": 3}'}, "settings do not fit GCInput: .*epoch"),
        ({"choice": '{"method": "gc-input", "set": "open"}'}, "settings do not fit Choice: .*set"),
        ({"budget": 0.001}, "eps_d = 0.001 of 40 training rows is less than one poison"),
    ],
)
def test_settings_and_budgets_that_do_not_fit_are_named(changes, message, files, execute, tmp_path):
    with pytest.raises((SystemExit, ValueError), match=f"(?s){message}"):
        execute("poison_images", *arguments_of("gc-input", files, **changes), tmp_path / "made.h5")
    assert not list(tmp_path.iterdir())
