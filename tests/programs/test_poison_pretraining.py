"""From images to a poisoning set and an encoder trained on it, as programs."""

import json

import numpy as np
import pytest
import torch
from featpoison import store
from featpoison.encoders.encoder import load_encoder
from featpoison.pretraining.poison_sets import read_poison_sets
from featpoison.records.seal import read_metadata
from helpers import RECORD

SIMCLR = {
    "architecture": {"width": 8, "stem_stride": 2},
    "epochs": 1,
    "batch_size": 16,
    "warmup_epochs": 0,
    "precision": "float32",
}


def arguments_of(files, **changes):
    """What a caller passes; None leaves an option out."""
    options = {
        "--attack": "poisoned-encoder",
        "--images": files["images"],
        "--downstream": f"letters={files['images']}",
        "--settings": json.dumps({"targets": {"letters": 2}, "references": 5}),
        "--rate": 0.2,
        "--seed": 3,
    }
    options |= {f"--{key}": value for key, value in changes.items()}
    given = [part for pair in options.items() if pair[1] is not None for part in pair]
    return [one for part in given for one in (part if isinstance(part, list) else [part])]


def test_a_poisoning_set_says_what_made_it_and_encoders_train_on_it(files, execute, tmp_path):
    poisons = tmp_path / "poisons.h5"
    execute("poison_pretraining", *arguments_of(files), poisons)
    record, facts = store.read_provenance(poisons), store.read_attributes(poisons)
    assert record["program"] == "scripts/poison_pretraining.py"
    assert record["chosen"] == ["scripts/featpoison/attacks/poisoned_encoder.py"]
    assert list(record["inputs"]) == [str(files["images"])]
    assert record["settings"].items() >= {"attack": "poisoned-encoder", "rate": 0.2, "poison_seed": 3}.items()
    assert record["settings"]["halves"] == "whole"
    assert facts == {"rate": 0.2, "tasks": ["letters"], "targets": 2}
    sets = read_poison_sets(poisons)
    assert sum(map(len, sets)) == 8  # round(0.2 * 40)
    assert {tuple(images.shape[1:]) for images in sets} <= {(3, 32, 64), (3, 64, 32)}

    encoders = {}
    for name, own in (("clean", []), ("poisoned", ["--poisons", poisons])):
        encoders[name] = tmp_path / f"{name}.safetensors"
        settings = ["--settings", json.dumps(SIMCLR)]
        execute("pretrain_encoder", "--images", files["images"], *own, *settings, encoders[name])
    inputs = {name: read_metadata(path)["provenance"]["inputs"] for name, path in encoders.items()}
    assert inputs["poisoned"].keys() - inputs["clean"].keys() == {str(poisons)}
    clean, poisoned = (load_encoder(encoders[name]).state_dict() for name in ("clean", "poisoned"))
    assert not all(torch.equal(value, poisoned[key]) for key, value in clean.items())
    assert not list(tmp_path.glob(".*"))  # the state of long work is gone


@pytest.mark.parametrize(
    "case",
    [
        ({"attack": "gc-input"}, "--attack: 'gc-input' is unknown, expected the name of a file"),
        ({"downstream": "images"}, "--downstream: 'images', expected NAME=FILE"),
        ({"downstream": "letters=nowhere.h5"}, "--downstream: nowhere.h5 of letters does not exist"),
        ({"downstream": ["a=pyproject.toml", "a=Makefile"]}, "--downstream: a, a, expected no name twice"),
        ({"seed": None}, "the following arguments are required: --seed"),
    ],
)
def test_wrong_usage_is_named(case, files, execute, tmp_path, capsys):
    changes, message = case
    with pytest.raises(SystemExit) as stopped:
        execute("poison_pretraining", *arguments_of(files, **changes), tmp_path / "made.h5")
    assert stopped.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": '{"target": {}}'}, "settings do not fit PoisonedEncoder: .*target"),
        ({"rate": 1.01}, "poisoned-encoder: 'rate' is 1.01, expected more than 0 and at most 1"),
        (
            {"settings": '{"targets": {"letters": [{"row": 20, "label": 0}]}}'},
            r"poisoned-encoder: 'targets\.letters\.0\.row' is 20, expected 0 to 19: a test image",
        ),
    ],
)
def test_values_that_do_not_fit_are_named(changes, message, files, execute, tmp_path):
    with pytest.raises(SystemExit, match=f"(?s){message}"):
        execute("poison_pretraining", *arguments_of(files, **changes), tmp_path / "made.h5")
    assert not list(tmp_path.iterdir())


def test_a_file_without_images_is_no_poisoning_set(tmp_path):
    columns = {"task": np.zeros(2, np.int64), "target": np.zeros(2, np.int64)}
    store.write(tmp_path / "bare.h5", columns, RECORD)
    with pytest.raises(store.StoreError, match=r"bare\.h5: no images; it holds target, task"):
        read_poison_sets(tmp_path / "bare.h5")


def test_a_set_of_which_nothing_is_left_has_no_images(tmp_path):
    empty = {"images_beside": np.zeros((0, 3, 8, 16), np.uint8), "task": np.zeros(0, np.int64)}
    store.write(tmp_path / "empty.h5", empty, RECORD)
    assert read_poison_sets(tmp_path / "empty.h5") == []
