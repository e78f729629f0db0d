"""Victims on another encoder than the attacked one, from the command line."""

import json

import numpy as np
import pytest
import torch
from featpoison import store
from featpoison.common.pixels import rounded_to_8bit
from featpoison.downstream.task import read_task
from featpoison.encoders.encoder import load_encoder
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
