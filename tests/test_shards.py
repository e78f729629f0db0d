"""Spreading work over jobs changes no bit: the programs themselves, for any number of shards."""

import runpy
import sys

import numpy as np
import pytest
from featpoison import store
from featpoison.encoders.encoder import save_encoder
from featpoison.encoders.features import BATCH_SIZE
from helpers import RECORD, ROOT

COUNTS = {"train": 3 * BATCH_SIZE + 17, "test": BATCH_SIZE + 5}


def run(monkeypatch, program, *arguments):
    """A program as a job runs it, without a new interpreter."""
    monkeypatch.setattr(sys, "argv", [f"scripts/{program}.py", *map(str, arguments)])
    monkeypatch.chdir(ROOT)
    runpy.run_path(f"scripts/{program}.py", run_name="__main__")


@pytest.fixture
def inputs(tmp_path, encoder):
    """An image file of six batches, an encoder, and pairs for feature matching."""
    generator = np.random.default_rng(0)
    arrays = {}
    for part, count in COUNTS.items():
        arrays |= {f"{part}_images": generator.integers(0, 256, (count, 3, 8, 8), np.uint8), f"{part}_labels": np.arange(count) % 3}
    store.write(tmp_path / "images.h5", arrays, RECORD, classes=["a", "b", "c"])
    save_encoder(tmp_path / "encoder.safetensors", encoder, RECORD)
    base = generator.integers(0, COUNTS["train"], 25)
    features = generator.normal(size=(25, encoder.dimension)).astype(np.float32)
    pairs = {"features": features, "labels": base % 3, "base": base, "distance": np.ones(25)}
    store.write(tmp_path / "pairs.h5", pairs, RECORD, eps_d=0.1)
    return ["--images", tmp_path / "images.h5", "--encoder", tmp_path / "encoder.safetensors"]


def gathered(monkeypatch, folder, count, program, *arguments):
    """The bytes of the whole, from `count` shards."""
    shards = [folder / f"{program}-{number}-of-{count}.h5" for number in range(1, count + 1)]
    for shard in shards:
        run(monkeypatch, program, *arguments, "--shard", shard.name[len(program) + 1 : -3], shard)
    run(monkeypatch, "gather_shards", "--shards", *shards, "--", folder / "whole.h5")
    return (folder / "whole.h5").read_bytes(), shards


def test_features_are_the_same_from_1_3_and_7_shards(monkeypatch, tmp_path, inputs):
    run(monkeypatch, "extract_features", *inputs, tmp_path / "direct.h5")
    for count in (1, 3, 7):  # a shard of one batch, and one of none
        whole, shards = gathered(monkeypatch, tmp_path, count, "extract_features", *inputs)
        assert whole == (tmp_path / "direct.h5").read_bytes()
        assert sum(store.lengths(shard)["train"] for shard in shards) == COUNTS["train"]
    found = store.read(tmp_path / "direct.h5")
    np.testing.assert_array_equal(found["test_labels"], np.arange(COUNTS["test"]) % 3)
    assert store.lengths(shards[0])["train"] < COUNTS["train"] / 2


def test_matched_poisons_are_the_same_from_1_3_and_7_shards(monkeypatch, tmp_path, inputs):
    arguments = [*inputs, "--pairs", tmp_path / "pairs.h5", "--settings", '{"steps": 4, "batch_size": 5, "precision": "float32"}']
    wholes = []
    for count in (1, 3, 7):
        whole, shards = gathered(monkeypatch, tmp_path, count, "match_features", *arguments)
        wholes.append(whole)
        assert sum(store.lengths(shard)["images"] for shard in shards) == 25
        assert [path for path in tmp_path.iterdir() if path.name.endswith(".state")] == []
    assert wholes[0] == wholes[1] == wholes[2]
    poisons = store.read(tmp_path / "whole.h5")
    assert np.abs(poisons["images"] - store.read(tmp_path / "images.h5", "train_images", rows=poisons["base"])["train_images"] / 255).max() > 1e-3


@pytest.mark.parametrize("name", ["0-of-3", "4-of-3", "3", "a-of-b", "1-of-3-of-5"])
def test_a_shard_that_is_none_is_named(monkeypatch, tmp_path, inputs, capsys, name):
    with pytest.raises(SystemExit):
        run(monkeypatch, "extract_features", *inputs, "--shard", name, tmp_path / "out.h5")
    assert f"--shard: {name!r}, expected one of 1-of-n to n-of-n" in capsys.readouterr().err
    assert not (tmp_path / "out.h5").exists()
