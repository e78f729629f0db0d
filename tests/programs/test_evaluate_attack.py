"""What the evaluation of an attack says of its target, its labels and its base rows."""

import json

import numpy as np
import pytest
import torch
from featpoison import softmax, store
from featpoison.downstream.task import read_task
from featpoison.encoders.encoder import load_encoder
from featpoison.encoders.features import extract
from featpoison.heads import train
from featpoison.softmax import Head
from featpoison.solvers.newton import Converged
from helpers import RECORD

VICTIMS = {"sgd100": {"epochs": 2, "tail": 1}, "converged": {"ridge": 0.01}, "seeds": [0]}


@pytest.fixture
def evaluate(files, execute, tmp_path):
    """Run the program on poisoned features given as (labels, base rows), of the poison seeds 4, 0 and so
    on."""

    def run(*sets, seeds=(4, 0, 7), options=()):
        clean, paths = store.read(files["features"], "train")["train"], []
        for number, (labels, base) in enumerate(sets):
            paths.append(tmp_path / f"poisons{number}.h5")
            arrays = {"features": 2 * clean[base], "labels": np.array(labels), "base": np.array(base)}
            store.write(paths[-1], arrays, RECORD, eps_d=0.1)
        known = ["--features", files["features"], "--settings", json.dumps(VICTIMS), *options]
        known += ["--poisons", *paths, "--poison-seeds", *seeds[: len(sets)]]
        execute("evaluate_attack", *known, "--", tmp_path / "found.h5")
        return store.read(tmp_path / "found.h5"), store.read_attributes(tmp_path / "found.h5")

    return run


@pytest.fixture
def targets(tmp_path):
    """A file of three target heads."""
    omega, gradient = np.random.default_rng(0).normal(size=(2, 3, 3, 65)).astype(np.float32)
    store.write(tmp_path / "target.h5", {"omega": omega, "clean_gradient": gradient}, RECORD, tau=0.75)
    return tmp_path / "target.h5", torch.from_numpy(omega), torch.from_numpy(gradient)


def test_the_residual_is_that_at_the_draw_of_the_poison_seed(evaluate, targets, files):
    """Of the seeds 4 and 0, not of the files' places 0 and 1."""
    path, omega, gradient = targets
    sets = [([0, 1, 2], [3, 4, 5]), ([1, 1, 0], [9, 8, 7])]
    found, facts = evaluate(*sets, options=["--target", path])
    train_rows = read_task(files["features"]).train
    for place, (draw, (labels, base)) in enumerate(zip((1, 0), sets, strict=True)):
        own = softmax.head_gradient(2 * train_rows[base], torch.tensor(labels), Head.from_omega(omega[draw]))
        residual = (gradient[draw] + own).norm() / gradient[draw].norm()
        assert found["residual"][place] == pytest.approx(residual.item(), rel=1e-5)
    assert facts["tau"] == 0.75


def test_an_attack_without_a_target_has_neither_residual_nor_threshold(evaluate):
    found, facts = evaluate(([0, 1], [3, 4]))
    assert "residual" not in found
    assert "tau" not in facts
    assert facts["eps_d"] == 0.1


def test_base_rows_and_labels_are_counted(evaluate):
    """Row k has the label k modulo 3."""
    found, _ = evaluate(([0, 0, 2, 2], [3, 3, 3, 5]), ([1, 2], [1, 2]), ([0, 0, 0], [4, 4, 5]))
    assert found["distinct_bases"].tolist() == [2, 2, 2]
    assert found["dirty_labels"].tolist() == [1, 0, 3]


def test_base_labels_are_what_victims_are_trained_on_where_asked(evaluate, files):
    given, base = [2, 0, 1, 1], [3, 4, 5, 6]
    as_given, _ = evaluate((given, base))
    of_base, _ = evaluate((given, base), options=["--base-labels"])
    assert (as_given["dirty_labels"].tolist(), of_base["dirty_labels"].tolist()) == ([4], [0])
    task = read_task(files["features"])
    for found, labels in ((as_given, given), (of_base, [0, 1, 2, 0])):
        X = torch.cat([task.train, 2 * task.train[base]])
        y = torch.cat([task.train_labels, torch.tensor(labels)])
        own = train(X, y, Converged(ridge=0.01), classes=3)
        np.testing.assert_allclose(found["converged_omega"][0], own.omega, atol=1e-5)
    assert np.abs(as_given["converged_omega"] - of_base["converged_omega"]).max() > 1e-3


@pytest.mark.parametrize("valid", [True, False])
def test_images_of_8_bits_have_the_victims_of_their_rounded_copies(valid, files, execute, tmp_path):
    """Whether these are trained again or not."""
    levels = store.read(files["images"], "train_images")["train_images"][:4] + np.uint8(30)
    images = levels / np.float32(255) + np.float32(0 if valid else 0.4 / 255)
    features = extract(torch.from_numpy(images), load_encoder(files["encoder"])).numpy()
    arrays = {"images": images, "features": features, "labels": np.array([2, 1, 0, 1]), "base": np.arange(4)}
    store.write(tmp_path / "poisons.h5", arrays, RECORD, eps_d=0.1)
    known = [part for need in ("features", "images", "encoder") for part in (f"--{need}", files[need])]
    known += ["--settings", json.dumps(VICTIMS), "--poisons", tmp_path / "poisons.h5", "--poison-seeds", 0]
    execute("evaluate_attack", *known, "--", tmp_path / "found.h5")
    found, rounded = store.read(tmp_path / "found.h5"), levels / np.float32(255)
    task = read_task(files["features"])
    for name, pixels in (("converged_omega", images), ("quantized_converged_omega", rounded)):
        own = extract(torch.from_numpy(pixels), load_encoder(files["encoder"]))
        y = torch.cat([task.train_labels, torch.from_numpy(arrays["labels"])])
        head = train(torch.cat([task.train, own]), y, Converged(ridge=0.01), classes=3)
        np.testing.assert_allclose(found[name][0], head.omega, rtol=1e-4, atol=1e-5)
    same = np.array_equal(found["converged_omega"], found["quantized_converged_omega"])
    assert same == valid


def test_one_file_that_8_bits_do_not_hold_gives_all_files_copies(files, execute, tmp_path):
    """Whose features are computed here or read from shards; both files are measured, in their order."""
    levels = store.read(files["images"], "train_images")["train_images"][:6] + np.uint8(30)
    exact = levels / np.float32(255)
    paths = [tmp_path / "exact.h5", tmp_path / "between.h5"]
    for path, images in zip(paths, (exact, exact + np.float32(0.4 / 255)), strict=True):
        features = extract(torch.from_numpy(images), load_encoder(files["encoder"])).numpy()
        arrays = {"images": images, "features": features, "labels": np.arange(6) % 3, "base": np.arange(6)}
        store.write(path, arrays, RECORD, eps_d=0.1)
    shard = tmp_path / "shard.h5"
    own = ["--poisons", *paths, "--encoder", files["encoder"], "--shard", "1-of-1"]
    execute("extract_quantized", *own, "--", shard)
    known = [part for need in ("features", "images", "encoder") for part in (f"--{need}", files[need])]
    known += ["--settings", json.dumps(VICTIMS), "--poisons", *paths, "--poison-seeds", 0, 1]
    execute("evaluate_attack", *known, "--", tmp_path / "here.h5")
    execute("evaluate_attack", *known, "--quantized", shard, "--", tmp_path / "shards.h5")
    here, shards = store.read(tmp_path / "here.h5"), store.read(tmp_path / "shards.h5")
    assert here.keys() == shards.keys()
    for name, values in here.items():
        np.testing.assert_array_equal(values, shards[name], err_msg=name)
    assert here["pixel_ratio"][0] < here["pixel_ratio"][1]
    copies = here["quantized_converged_omega"]
    np.testing.assert_allclose(copies[0], here["converged_omega"][0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(copies[1], copies[0], rtol=1e-4, atol=1e-5)  # 0.4 of a level is rounded away
    assert np.abs(copies[1] - here["converged_omega"][1]).max() > 1e-4


def test_images_are_asked_of_poisons_that_have_some(evaluate, files):
    options = [part for need in ("images", "encoder") for part in (f"--{need}", files[need])]
    with pytest.raises(SystemExit, match=r"poisons0\.h5: --images and --encoder are for poisons that are"):
        evaluate(([0], [3]), options=options)


def test_each_file_has_a_seed(evaluate, capsys):
    with pytest.raises(SystemExit):
        evaluate(([0], [3]), ([0], [3]), seeds=(1,))
    assert "--poison-seeds: 1 seeds, expected one for each of 2 files" in capsys.readouterr().err


def test_poisons_that_name_no_base_rows_have_no_labels_of_them(files, execute, tmp_path):
    arrays = {"features": np.ones((2, 64), np.float32), "labels": np.array([0, 1])}
    store.write(tmp_path / "poisons.h5", arrays, RECORD, eps_d=0.1)
    command = ["--features", files["features"], "--poisons", tmp_path / "poisons.h5", "--poison-seeds", 0]
    with pytest.raises(ValueError, match="do not say their base rows"):
        execute("evaluate_attack", *command, "--base-labels", "--", tmp_path / "found.h5")
