"""Every attack as a program runs it, with every set that it has: what its file holds."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from featpoison import store
from featpoison.attacks import names
from featpoison.attacks.attack import Run
from featpoison.attacks.choices import Choice
from featpoison.common.shards import Shard
from featpoison.downstream.networks import Training
from featpoison.encoders.encoder import load_encoder
from featpoison.encoders.features import extract
from featpoison.heads import SGD100
from featpoison.solvers.newton import Converged
from helpers import Forgetful

FEW = {
    "gradpc": {"eps_w": 2.0},
    "gc_feature": {"iterations": 40, "step_size": 1.0},
    "exact_feature": {"epochs": 3, "step_size": 5.0},
    "exact_spectral": {"epochs": 3, "step_size": 5.0},
    "feature_matching": {"steps": 12, "batch_size": 3, "precision": "float32"},
    "target_search": {},
    "reachable_bounded": {"iterations": 10, "steps_per_octave": 1},
    "mislabelled": {"damping": 1e-3},
    "pushed_feature": {},
    "random_step": {},
    "emn": {
        "steps": 2,
        "training_steps": 2,
        "max_rounds": 1,
        "images_per_class": 5,
        "training": Training(batch_size=8),
        "precision": "float32",
    },
}
QUICK = {Converged: {"ridge": 1e-2}, SGD100: {"epochs": 10}}
INPUT = {"epochs": 3, "batch_size": 3, "precision": "float32"}
CASES = [(name, kept_in) for name, attack in names.load_all().items() for kept_in in attack.sets or (None,)]
CAP = 0.5


def run_of(name, kept_in, files):
    attack = names.load(name)
    usual = {} if name == "decoder-inversion" else FEW.get(attack.key, INPUT)
    choice = Choice(
        method=name,
        set=CAP if kept_in == "cap" else kept_in,
        cap=CAP if kept_in == "emittable" else None,
        beta=0.25 if attack.has_beta else None,
        target="gradpc-feature" if names.is_targeted(name) else None,
    )
    own = {need: files[need] for need in attack.needs}
    victim = attack.victim(**QUICK[attack.victim]) if attack.victim else None
    return Run(
        attack.settings(**usual),
        choice,
        own,
        torch.device("cpu"),
        Forgetful(),
        budget=0.1,
        seed=3,
        victim=victim,
    )


@pytest.mark.parametrize(("name", "kept_in"), CASES)
def test_an_attack_needs_no_other_file_and_makes_what_it_says(name, kept_in, files):
    attack, given = names.load(name), run_of(name, kept_in, files)
    made = attack.run(given)
    assert all(np.isfinite(array).all() for array in made.arrays.values())
    again = attack.run(given)
    for key, array in made.arrays.items():
        np.testing.assert_array_equal(array, again.arrays[key])
    if attack.makes == "target":
        draws = 5 if name in ("gradpc-minibatch", "random-step") else 1
        assert made.arrays["omega"].shape == made.arrays["clean_gradient"].shape == (draws, 3, 65)
        measures = ("tau", "training_error", "accuracy")
        assert {made.arrays[measure].shape for measure in measures} == {(draws,)}
        assert {made.facts[measure] for measure in measures} == {
            made.arrays[measure].mean() for measure in measures
        }
        assert made.facts.keys() >= {"target", "clean_accuracy", "eps_w", "scale", *measures}
        assert made.facts["target"] == name
        return
    count = 15 if attack.makes == "noise" else 4  # five of each class; round(0.1 * 40)
    assert {len(array) for key, array in made.arrays.items() if key != "error"} == {count}
    clean = store.read(files["images"], "train_images", "train_labels")
    base, labels = made.arrays["base"], made.arrays["labels"]
    assert base.min() >= 0
    assert base.max() < 40
    same = labels == clean["train_labels"][base]
    if "pairs" in attack.needs:
        paired = store.read(files["pairs"], "labels", "base")
        np.testing.assert_array_equal(labels, paired["labels"])  # those that the features were made for
        np.testing.assert_array_equal(base, paired["base"])
        assert 0 < same.sum() < len(same)
    else:
        assert not same.any() if name.startswith("mislabelled") else same.all()
    thing = {"features": "features", "images": "images", "noise": "noise"}[attack.makes]
    assert made.arrays[thing].dtype == np.float32
    if attack.makes == "images":
        encoder = load_encoder(files["encoder"])
        features = extract(torch.from_numpy(made.arrays["images"]), encoder)
        np.testing.assert_allclose(made.arrays["features"], features, rtol=1e-3, atol=1e-4)
        if "encoder" in attack.needs and name != "decoder-inversion":
            assert made.facts["precision"] == given.settings.precision == "float32"
    if name == "tgda-input":
        assert made.facts["damping"] == given.settings.damping


@pytest.mark.parametrize("kept_in", ["cap", "emittable"])
@pytest.mark.parametrize("name", names.making("features"))
def test_a_cap_is_in_units_of_the_mean_clean_norm(name, kept_in, files):
    norms = np.linalg.norm(store.read(files["features"], "train")["train"], axis=1)
    found = names.load(name).run(run_of(name, kept_in, files)).arrays["features"]
    assert np.linalg.norm(found, axis=1).max() == pytest.approx(CAP * norms.mean(), rel=1e-4)
    assert (found.min() >= 0) == (kept_in == "emittable")  # the encoder ends in a ReLU


def test_free_features_may_be_longer_than_all_clean_ones(files):
    norms = np.linalg.norm(store.read(files["features"], "train")["train"], axis=1)
    found = names.load("gc-feature").run(run_of("gc-feature", "free", files)).arrays["features"]
    assert np.linalg.norm(found, axis=1).max() > norms.max()


@pytest.mark.parametrize("name", ["feature-matching", "gc-input"])
@pytest.mark.parametrize(("fast", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_a_file_names_the_arithmetic_that_auto_chose(name, fast, expected, files, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: fast)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    given = run_of(name, "free", files)
    settings = given.settings.model_copy(update={"precision": "auto"})
    assert names.load(name).run(replace(given, settings=settings)).facts["precision"] == expected


@pytest.mark.parametrize("name", ["feature-matching", "exact-feature-matching"])
def test_shards_of_a_matching_are_the_rows_of_the_whole(name, files):
    given = run_of(name, "cap", files)
    whole = names.load(name).run(given).arrays
    parts = [names.load(name).run(replace(given, shard=Shard(index, 2))).arrays for index in range(2)]
    assert [len(part["base"]) for part in parts] == [3, 1]  # blocks of three rows
    for key, array in whole.items():
        np.testing.assert_array_equal(np.concatenate([part[key] for part in parts]), array)


def test_other_seeds_start_from_other_rows(files):
    for name in names.making("features", "images"):
        if names.load(name).poisoned_by is None:
            given = run_of(name, next(iter(names.load(name).sets), None), files)
            first, other = (names.load(name).run(replace(given, seed=seed)).arrays["base"] for seed in (3, 4))
            assert not np.array_equal(first, other), name


def test_both_gradients_of_gradpc_give_the_same_head(files):
    """From the cache and from the images through the encoder: up to rounding one head."""
    pair = ("gradpc-input", "gradpc-feature")
    first, second = (names.load(name).run(run_of(name, None, files)).arrays["omega"] for name in pair)
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-4)
    clean = store.read(files["clean"], "sgd100_omega")["sgd100_omega"][0, 0]
    assert np.linalg.norm(first - clean) == pytest.approx(2.0, rel=1e-4)  # eps_w
