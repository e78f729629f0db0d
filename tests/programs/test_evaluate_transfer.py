"""Victims on another encoder than the attacked one, from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from featpoison import store
from featpoison.common.pixels import rounded_to_8bit
from featpoison.downstream.task import read_task
from featpoison.encoders.architecture import Architecture
from featpoison.encoders.encoder import Encoder, load_encoder, save_encoder
from featpoison.encoders.features import extract
from featpoison.heads import train
from featpoison.solvers.newton import Converged
from helpers import RECORD

VICTIMS = {"sgd100": {"epochs": 2, "tail": 1}, "converged": {"ridge": 0.01}, "seeds": [0]}


@pytest.fixture
def evaluate(files, execute, tmp_path):
    """Run the program on images of which an encoder with 9 features has cached other ones."""

    def run(*options, images=True, seeds=(0,)):
        pixels = store.read(files["images"], "train_images")["train_images"][:4] / np.float32(255)
        pixels = pixels + np.float32(0.3 / 255)
        arrays = {"features": np.ones((4, 9), np.float32), "labels": np.array([2, 1, 0, 1])}
        arrays |= {"base": np.array([5, 6, 7, 8]), "distance": np.ones(4)} | (
            {"images": pixels} if images else {}
        )
        store.write(tmp_path / "poisons.h5", arrays, RECORD, eps_d=0.1)
        command = ["--features", files["features"], "--encoder", files["encoder"], "--poison-seeds", *seeds]
        command += ["--poisons", tmp_path / "poisons.h5", "--settings", json.dumps(VICTIMS), *options]
        execute("evaluate_transfer", *command, "--", tmp_path / "found.h5")
        return store.read(tmp_path / "found.h5"), pixels, arrays["labels"]

    return run


@pytest.mark.parametrize("base_labels", [False, True])
def test_victims_see_the_rounded_images_through_their_own_encoder(evaluate, files, base_labels):
    found, pixels, labels = evaluate(*(["--base-labels"] if base_labels else []))
    task, encoder = read_task(files["features"]), load_encoder(files["encoder"])
    labels = task.train_labels[[5, 6, 7, 8]] if base_labels else torch.from_numpy(labels)
    own = extract(rounded_to_8bit(torch.from_numpy(pixels)), encoder)
    X, y = torch.cat([task.train, own]), torch.cat([task.train_labels, labels])
    head = train(X, y, Converged(ridge=0.01), classes=3)
    np.testing.assert_allclose(found["quantized_converged_omega"][0], head.omega, rtol=1e-4, atol=1e-5)
    ratio = own.norm(dim=1).mean() / task.train.norm(dim=1).mean()
    assert found["feature_magnitude_ratio"] == pytest.approx(ratio.item(), rel=1e-5)
    assert not {"converged_omega", "residual", "feature_distance"} & found.keys()
    assert found["quantized_sgd100_accuracy"].shape == (1, 1, 1)


def test_features_do_not_travel(evaluate):
    with pytest.raises(SystemExit, match=r"poisons.h5: no images, expected poisons that are images"):
        evaluate(images=False)


def test_each_file_has_a_seed(evaluate, capsys):
    with pytest.raises(SystemExit):
        evaluate(seeds=(0, 1))
    assert "--poison-seeds: 2 seeds, expected one for each of 1 files" in capsys.readouterr().err


LIBRARIES = ["timm:resnet10t", pytest.param("torchvision:resnet18", marks=pytest.mark.slow)]


@pytest.fixture(params=LIBRARIES)
def library(request, files, tmp_path) -> dict[str, Path]:
    """The files of an encoder of a library, which sees images at another size and has other features; no
    weights are fetched."""
    torch.manual_seed(0)
    encoder = Encoder(Architecture(name=request.param, side=40)).train()
    known = store.read(files["images"])
    pixels = {name: torch.from_numpy(known[f"{name}_images"]) for name in ("train", "test")}
    for _ in range(3):  # BatchNorms get statistics of these images
        encoder(pixels["train"] / 255)
    save_encoder(tmp_path / "library.safetensors", encoder.freeze(), RECORD)
    cache = {name: extract(part.numpy(), encoder).numpy() for name, part in pixels.items()}
    cache |= {f"{name}_labels": known[f"{name}_labels"] for name in pixels}
    store.write(tmp_path / "library.h5", cache, RECORD, classes=["a", "b", "c"])
    own = {"encoder": tmp_path / "library.safetensors", "features": tmp_path / "library.h5"}
    return {"images": files["images"]} | own


def test_images_travel_from_and_to_an_encoder_of_a_library(library, files, execute, tmp_path):
    """Each is attacked through its own gradients, and each is the victim's of the other's images."""
    settings = {"epochs": 4, "valid_step_size": 0.02, "batch_size": 8, "precision": "float32"}
    options = ["--attack", "exact-input", "--choice", json.dumps({"method": "exact-input", "set": "valid"})]
    options += ["--settings", json.dumps(settings), "--victim", json.dumps(VICTIMS["converged"])]
    options += ["--budget", 0.2, "--seed", 0]
    for attacked, onto in ((library, files), (files, library)):
        made, found = tmp_path / "poisons.h5", tmp_path / "found.h5"
        own = [text for need in ("images", "encoder", "features") for text in (f"--{need}", attacked[need])]
        execute("poison_images", *options, *own, "--", made)
        facts = store.read_attributes(made)
        assert facts["last_value"] < facts["first_value"]
        seen = ["--features", onto["features"], "--encoder", onto["encoder"], "--poisons", made]
        seen += ["--poison-seeds", 0, "--settings", json.dumps(VICTIMS)]
        execute("evaluate_transfer", *seen, "--", found)
        result, task = store.read(found), read_task(onto["features"])
        assert result["quantized_converged_omega"].shape == (1, 3, task.train.shape[1] + 1)
        assert 0 <= result["quantized_converged_accuracy"][0] <= 1
        assert np.isfinite(result["feature_magnitude_ratio"]).all()
