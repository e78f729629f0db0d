"""Spreading work over jobs, or over the GPUs of one, changes no bit, for any number of shards.

The programs themselves are run.
"""

import json
import runpy
import sys

import numpy as np
import pytest
import torch
from featpoison import store
from featpoison.attacks import emn
from featpoison.encoders.encoder import load_encoder, save_encoder
from featpoison.encoders.features import BATCH_SIZE, extract
from helpers import RECORD, ROOT

VICTIMS = '{"sgd100": {"epochs": 2, "tail": 1}, "seeds": [0, 1]}'
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
        arrays |= {
            f"{part}_images": generator.integers(0, 256, (count, 3, 8, 8), np.uint8),
            f"{part}_labels": np.arange(count) % 3,
        }
    store.write(tmp_path / "images.h5", arrays, RECORD, classes=["a", "b", "c"])
    save_encoder(tmp_path / "encoder.safetensors", encoder, RECORD)
    base = generator.integers(0, COUNTS["train"], 25)
    features = generator.normal(size=(25, encoder.dimension)).astype(np.float32)
    pairs = {"features": features, "labels": base % 3, "base": base, "distance": np.ones(25)}
    store.write(tmp_path / "pairs.h5", pairs, RECORD, eps_d=0.1)
    return ["--images", tmp_path / "images.h5", "--encoder", tmp_path / "encoder.safetensors"]


@pytest.fixture
def attack(monkeypatch, tmp_path, inputs):
    """Features, a target head, and two poison files of more than a batch, as options of `evaluate_attack`."""
    images, encoder = inputs[1], inputs[3]
    run(monkeypatch, "extract_features", *inputs, tmp_path / "features.h5")
    run(
        monkeypatch,
        "train_heads",
        "--features",
        tmp_path / "features.h5",
        "--settings",
        VICTIMS,
        tmp_path / "clean.h5",
    )
    run(
        monkeypatch,
        "make_target_head",
        *["--attack", "gradpc-feature", "--choice", '{"method": "gradpc-feature"}'],
        "--features",
        tmp_path / "features.h5",
        "--clean",
        tmp_path / "clean.h5",
        tmp_path / "target.h5",
    )
    generator = np.random.default_rng(1)
    poisons = []
    for seed, count in enumerate((BATCH_SIZE + 9, 2 * BATCH_SIZE + 9)):
        base = generator.integers(0, COUNTS["train"], count)
        clean = store.read(images, "train_images", rows=base)["train_images"] / np.float32(255)
        pixels = clean + generator.uniform(-0.1, 0.1, clean.shape).astype(np.float32)
        features = extract(pixels, load_encoder(encoder)).numpy()
        arrays = {
            "images": pixels,
            "features": features,
            "labels": base % 3,
            "base": base,
            "distance": np.ones(count),
        }
        poisons.append(tmp_path / f"poisons-seed{seed}.h5")
        store.write(poisons[-1], arrays, RECORD, eps_d=0.3)
    return ["--poisons", *poisons], [
        "--features",
        tmp_path / "features.h5",
        "--target",
        tmp_path / "target.h5",
        "--settings",
        VICTIMS,
        *inputs,
    ]


def evaluate(monkeypatch, others, poisons, *more):
    """Run `evaluate_attack` on poisons of the seeds 0, 1 and so on."""
    seeds = ["--poison-seeds", *range(len(poisons) - 1)]
    run(monkeypatch, "evaluate_attack", *others, *poisons, *seeds, *more)


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


@pytest.mark.parametrize("matching", ["feature-matching", "exact-feature-matching"])
def test_matched_poisons_are_the_same_from_1_3_and_7_shards(monkeypatch, tmp_path, inputs, matching):
    """The same file as without shards, byte for byte, and so the same record."""
    settings = '{"steps": 4, "batch_size": 5, "precision": "float32"}'
    choice = json.dumps({"method": matching, "set": 1.0, "beta": 0.1})
    arguments = [*inputs, "--pairs", tmp_path / "pairs.h5", "--settings", settings, "--choice", choice]
    arguments += ["--attack", matching, "--seed", 0, "--budget", 0.1]
    run(monkeypatch, "poison_images", *arguments, tmp_path / "direct.h5")
    for count in (1, 3, 7):
        whole, shards = gathered(monkeypatch, tmp_path, count, "poison_images", *arguments)
        assert whole == (tmp_path / "direct.h5").read_bytes()
        assert sum(store.lengths(shard)["images"] for shard in shards) == 25
        assert [path for path in tmp_path.iterdir() if path.name.endswith(".state")] == []
    poisons = store.read(tmp_path / "direct.h5")
    clean = store.read(tmp_path / "images.h5", "train_images", rows=poisons["base"])["train_images"] / 255
    assert np.abs(poisons["images"] - clean).max() > 1e-3
    assert "shard" not in store.read_provenance(tmp_path / "direct.h5")["settings"]


def test_an_attack_whose_rows_depend_on_each_other_has_no_shards(monkeypatch, tmp_path, inputs, capsys):
    files = ["--features", inputs[1], "--target", inputs[1], *inputs]  # refused before they are read
    options = ["--attack", "gc-input", "--choice", '{"method": "gc-input"}', "--seed", 0, "--budget", 0.1]
    with pytest.raises(SystemExit):
        run(monkeypatch, "poison_images", *files, *options, "--shard", "1-of-2", tmp_path / "out.h5")
    assert "--shard: the rows of gc-input depend on each other" in capsys.readouterr().err


def test_victims_of_8_bit_images_are_the_same_from_1_3_and_7_shards(monkeypatch, tmp_path, inputs, attack):
    poisons, others = attack
    evaluate(monkeypatch, others, poisons, "--", tmp_path / "direct.h5")
    for count in (1, 3, 7):
        shards = [tmp_path / f"{number}-of-{count}.h5" for number in range(1, count + 1)]
        for shard in shards:
            run(monkeypatch, "extract_quantized", *poisons, *inputs[2:], "--shard", shard.stem, shard)
        for name, total in (("0", BATCH_SIZE + 9), ("1", 2 * BATCH_SIZE + 9)):
            lengths = [store.lengths(shard)[name] for shard in shards]
            assert sum(lengths) == total
            # On other hardware bits depend on a batch's size.
            assert sum(length % BATCH_SIZE != 0 for length in lengths) == 1
        evaluate(monkeypatch, others, poisons, "--quantized", *shards, "--", tmp_path / "spread.h5")
        assert (tmp_path / "spread.h5").read_bytes() == (tmp_path / "direct.h5").read_bytes()
    found = store.read(tmp_path / "direct.h5")
    assert not np.array_equal(found["quantized_converged_omega"], found["converged_omega"])


@pytest.fixture
def halves(monkeypatch, tmp_path, inputs, attack):
    """The 8-bit features in two shards."""
    shards = [tmp_path / f"{number}-of-2.h5" for number in (1, 2)]
    for shard in shards:
        run(monkeypatch, "extract_quantized", *attack[0], *inputs[2:], "--shard", shard.stem, shard)
    return shards


def under(record, shard, path):
    """A shard's arrays under another record."""
    store.write(path, store.read(shard), store.read_provenance(shard) | record)
    return path


def test_shards_of_other_poisons_or_code_or_out_of_order_are_refused(monkeypatch, tmp_path, attack, halves):
    poisons, others = attack
    older = under({"code": "0" * 64}, halves[0], tmp_path / "older.h5")
    swapped = [poisons[0], *poisons[:0:-1]]
    for given, of in (
        (halves[::-1], poisons),
        (halves[:1], poisons),
        (halves, swapped),
        (halves, poisons[:2]),
        ([older, halves[1]], poisons),
    ):
        with pytest.raises(SystemExit, match=rf"{given[0].name}: .*, expected "):
            evaluate(monkeypatch, others, of, "--quantized", *given, "--", tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def test_the_result_names_the_devices_of_its_shards(monkeypatch, tmp_path, attack, halves):
    poisons, others = attack
    environment = store.read_provenance(halves[1])["environment"]
    elsewhere = under(
        {"environment": environment | {"device": "A GPU"}}, halves[1], tmp_path / "2-of-2-elsewhere.h5"
    )
    evaluate(monkeypatch, others, poisons, "--quantized", halves[0], elsewhere, "--", tmp_path / "out.h5")
    assert store.read_provenance(tmp_path / "out.h5")["environment"] == environment | {
        "device": f"A GPU + {environment['device']}"
    }


EMN = {"steps": 2, "training_steps": 2, "max_rounds": 2, "images_per_class": 20, "precision": "float32"}


@pytest.mark.parametrize("attack", ["emn-end-to-end", "emn-input"])
def test_noise_is_the_same_from_1_3_and_7_devices(monkeypatch, tmp_path, inputs, attack):
    settings = json.dumps(EMN | {"training": {"batch_size": 16}})
    choice = json.dumps({"method": attack})
    wholes, sizes = [], []
    minimise = emn.minimise

    def noted(network, images, *rest, **named):
        sizes.append(len(images))
        return minimise(network, images, *rest, **named)

    monkeypatch.setattr(emn, "minimise", noted)
    for count in (0, 1, 3, 7):  # of four blocks
        options = ["--attack", attack, "--choice", choice, "--seed", 0, "--settings", settings]
        run(monkeypatch, "make_emn_noise", *inputs, *options, "--devices", count, tmp_path / "noise.h5")
        wholes.append((tmp_path / "noise.h5").read_bytes())
        assert sorted(sizes) == [12, 12] + 6 * [16]  # in two rounds: bits may depend on a block's size
        sizes.clear()
    assert wholes == wholes[:1] * 4
    noise = store.read(tmp_path / "noise.h5")["noise"]
    assert (np.abs(noise).reshape(60, -1).max(1) > 1 / 255).all()


def test_a_negative_number_of_devices_is_refused(monkeypatch, tmp_path, inputs, capsys):
    options = ["--attack", "emn-input", "--choice", '{"method": "emn-input"}', "--seed", 0, "--devices", -1]
    with pytest.raises(SystemExit):
        run(monkeypatch, "make_emn_noise", *inputs, *options, tmp_path / "noise.h5")
    assert "--devices: -1, expected 0 or more" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["0-of-3", "4-of-3", "3", "a-of-b", "1-of-3-of-5"])
def test_a_shard_that_is_none_is_named(monkeypatch, tmp_path, inputs, capsys, name):
    with pytest.raises(SystemExit):
        run(monkeypatch, "extract_features", *inputs, "--shard", name, tmp_path / "out.h5")
    assert f"--shard: {name!r}, expected one of 1-of-n to n-of-n" in capsys.readouterr().err
    assert not (tmp_path / "out.h5").exists()


def test_shards_of_two_arithmetics_are_no_whole(monkeypatch, tmp_path, inputs):
    settings = '{"steps": 2, "batch_size": 5, "precision": "auto"}'
    choice = json.dumps({"method": "feature-matching", "set": 1.0, "beta": 0.1})
    arguments = [*inputs, "--pairs", tmp_path / "pairs.h5", "--settings", settings, "--choice", choice]
    arguments += ["--attack", "feature-matching", "--seed", 0, "--budget", 0.1]
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    for number, fast in ((1, True), (2, False)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda fast=fast: fast)
        shard = tmp_path / f"{number}.h5"
        run(monkeypatch, "poison_images", *arguments, "--shard", f"{number}-of-2", shard)
    with pytest.raises(SystemExit, match=r"2.h5: computed in float32, but .*1.h5 in bfloat16"):
        run(
            monkeypatch,
            "gather_shards",
            "--shards",
            tmp_path / "1.h5",
            tmp_path / "2.h5",
            "--",
            tmp_path / "w",
        )
