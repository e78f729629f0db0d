"""Screening: densities against plain loops, what is kept, and what it does to combinations."""

import json

import numpy as np
import pytest
import torch
from featpoison import store
from featpoison.attacks.poisoned_encoder import ACROSS, combine
from featpoison.encoders.architecture import Architecture
from featpoison.encoders.encoder import Encoder, load_encoder, save_encoder
from featpoison.encoders.features import extract
from featpoison.pretraining.screening import Screening, densities, features_of, sparsest
from helpers import RECORD
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 40), st.integers(0, 1000), st.data())
def test_a_density_is_the_mean_cosine_with_the_nearest_others(n, seed, data):
    neighbours = data.draw(st.integers(1, n - 1))
    X = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))
    found = densities(X, neighbours)
    Z = X.double().numpy()
    for i in range(n):
        others = [Z[i] @ Z[j] / np.linalg.norm(Z[i]) / np.linalg.norm(Z[j]) for j in range(n) if j != i]
        assert found[i].item() == pytest.approx(np.mean(sorted(others)[-neighbours:]), abs=1e-5)


def test_blocks_do_not_change_a_density(monkeypatch):
    X = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    whole = densities(X, 3)
    monkeypatch.setattr("featpoison.pretraining.screening.BLOCK", 7)
    torch.testing.assert_close(densities(X, 3), whole)


def test_more_neighbours_than_images_are_refused():
    with pytest.raises(ValueError, match="'neighbours' is 5, expected fewer than the 5 images"):
        densities(torch.randn(5, 2), 5)


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=50), st.floats(0.01, 0.99))
def test_the_densest_are_left_out(values, share):
    density = torch.tensor(values)
    kept = sparsest(density, share)
    assert (~kept).sum() == round(share * len(values))
    if kept.any() and not kept.all():
        assert density[kept].max() <= density[~kept].min()
    assert torch.equal(sparsest(density.clone(), share), kept)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return Encoder(Architecture(width=8, stem_stride=2)).freeze()


def test_features_are_those_of_whole_images(encoder):
    generator = torch.Generator().manual_seed(0)
    square, wide = (
        torch.randint(0, 256, (5, 3, 16, width), dtype=torch.uint8, generator=generator) for width in (16, 32)
    )
    found = features_of([square, wide], encoder)
    torch.testing.assert_close(found[:5], extract(square, encoder), rtol=1e-4, atol=1e-5)
    squeezed = wide.float().unflatten(-1, (16, 2)).mean(-1) / 255  # bilinear, at half the width
    torch.testing.assert_close(found[5:], extract(squeezed, encoder), rtol=1e-4, atol=1e-5)


def test_combinations_of_few_targets_are_screened_out(encoder, tmp_path, monkeypatch, execute):
    """Forty of two targets among 160 images, by an untrained encoder; the program keeps columns with
    images."""
    generator = np.random.default_rng(0)

    def pictures(count):
        return np.kron(generator.integers(0, 256, (count, 3, 4, 4)), np.ones((1, 1, 4, 4))).astype(np.uint8)

    clean, targets = pictures(160), pictures(2)
    target = np.arange(40) % 2
    wide = combine(targets[target], pictures(40), axis=ACROSS, halves="whole")
    images = {"train_images": clean, "train_labels": np.arange(160) % 4, "test_images": clean[:2]}
    images["test_labels"] = np.arange(2)
    store.write(tmp_path / "images.h5", images, RECORD, classes=list("abcd"))
    columns = {"task": np.zeros(40, np.int64), "target": target, "row": np.arange(40)}
    store.write(tmp_path / "poisons.h5", {"images_beside": wide} | columns, RECORD, tasks=["letters"])
    save_encoder(tmp_path / "encoder.safetensors", encoder, RECORD)
    left = tmp_path / "left.h5", tmp_path / "left-poisons.h5"
    arguments = ["--images", tmp_path / "images.h5", "--poisons", tmp_path / "poisons.h5"]
    arguments += ["--encoder", tmp_path / "encoder.safetensors"]
    arguments += ["--settings", json.dumps({"neighbours": 5, "share": 0.3})]
    execute("screen_pretraining", *arguments, *left)
    counts = store.read_attributes(left[1])
    assert counts["clean_kept"] + counts["poisons_kept"] == 140
    assert counts["poisons_kept"] / 40 < 0.7 * counts["clean_kept"] / 160
    kept = store.read(left[1])
    np.testing.assert_array_equal(kept["images_beside"], wide[kept["row"]])
    np.testing.assert_array_equal(kept["target"], target[kept["row"]])
    assert counts["tasks"] == ["letters"]
    found = store.read(left[0])
    assert len(found["train_images"]) == len(found["train_labels"]) == counts["clean_kept"]
    features = features_of([torch.from_numpy(clean), torch.from_numpy(wide)], load_encoder(arguments[5]))
    expected = sparsest(densities(features, 5), 0.3).numpy()
    np.testing.assert_array_equal(found["train_images"], clean[expected[:160]])


@pytest.mark.parametrize("wrong", [{"share": 0.0}, {"share": 1.0}, {"neighbours": 0}, {"neighbors": 3}])
def test_settings_that_do_not_fit_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Screening.model_validate_json(json.dumps(wrong))
