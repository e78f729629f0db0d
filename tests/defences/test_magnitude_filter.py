"""The magnitude filter: which rows pass, in which order; from the library and from the command line."""

from pathlib import Path

import numpy as np
import pytest
import torch
from featpoison import store
from featpoison.defences import names
from featpoison.defences.defence import Defending
from featpoison.defences.magnitude_filter import MagnitudeFilter, kept, magnitudes
from featpoison.downstream.poisons import Poisons
from helpers import RECORD, ran
from hypothesis import given
from hypothesis import strategies as st
from small_task import TRAIN, WIDTH, small_task

LARGEST = 200 / 255
FILES = ["--features", "{}", "--poisons", "{}"]


def of_magnitudes(values, sign=1.0):
    """Images that are small but for one pixel, at a place of its own in each."""
    images = np.random.default_rng(0).uniform(-0.01, 0.01, (len(values), 3, 4, 5)).astype(np.float32)
    for row, value in enumerate(values):
        images[row, row % 3, row % 4, row % 5] = sign * value
    return images


@pytest.fixture
def clean(tmp_path):
    """Training images up to 200 of 255; the test images, which no defence sees, are larger."""
    train = np.random.default_rng(0).integers(0, 150, (6, 3, 4, 5)).astype(np.uint8)
    train[4, 2, 3, 1] = 200
    test = np.full((2, 3, 4, 5), 255, np.uint8)
    store.write(tmp_path / "images.h5", {"train_images": train, "test_images": test}, RECORD)
    return tmp_path / "images.h5"


@given(st.lists(st.floats(0.015625, 2.0, width=32), max_size=12), st.floats(0.015625, 2.0, width=32))
def test_exactly_the_rows_within_are_kept_in_order(values, largest):
    for sign in (1.0, -1.0):
        images = torch.from_numpy(of_magnitudes(values, sign))
        expected = [row for row, value in enumerate(values) if value <= largest]
        assert kept(images, largest).tolist() == expected
        np.testing.assert_array_equal(magnitudes(images), values)


def test_the_boundary_is_kept_and_the_next_float_is_not():
    largest = np.float32(LARGEST)
    images = torch.from_numpy(of_magnitudes([largest, np.nextafter(largest, np.float32(2))]))
    assert kept(images, float(largest)).tolist() == [0]


def test_no_poisons_stay_no_poisons():
    nothing = kept(torch.zeros(0, 3, 4, 5), 1.0)
    assert (nothing.shape, nothing.dtype) == ((0,), torch.int64)


def test_the_largest_clean_pixel_is_that_of_the_training_images(clean):
    """An 8-bit value that is as large as the largest clean one, divided in float32 as poisons are, passes."""
    values = [np.float32(200) / np.float32(255), 201 / 255, 0.1, 0.99]
    images, task = torch.from_numpy(of_magnitudes(values)), small_task()
    poisons = Poisons(torch.zeros(4, WIDTH), torch.zeros(4, dtype=torch.long), images)
    found = names.load("magnitude-filter").run(Defending(MagnitudeFilter(), task, poisons, {"images": clean}))
    assert found.rows.tolist() == [*range(TRAIN), TRAIN, TRAIN + 2]  # no clean row is lost
    assert found.facts == {"clean_largest": pytest.approx(LARGEST)}


@pytest.fixture
def features(tmp_path):
    """A feature cache."""
    task = small_task()
    arrays = {name: getattr(task, name).numpy() for name in ("train", "train_labels", "test", "test_labels")}
    store.write(tmp_path / "features.h5", arrays, RECORD, classes=["a", "b", "c"])
    return tmp_path / "features.h5"


def defend(folder, *arguments):
    return ran("scripts/defend_poisons.py", "--device", "cpu", *arguments)


@pytest.mark.parametrize("values", [[0.5, 0.9, 0.1, 1.5, 0.3], [0.9, 1.5]], ids=["some", "none"])
def test_the_program_keeps_every_array_of_the_rows_that_pass(values, clean, features, tmp_path):
    rows = [row for row, value in enumerate(values) if value <= LARGEST]
    images = of_magnitudes(values)
    count = len(values)
    arrays = {
        "images": images,
        "features": np.random.default_rng(1).normal(size=(count, WIDTH)).astype(np.float32),
        "labels": np.arange(count) % 3,
        "base": np.arange(count) * 10,
        "distance": np.linspace(0, 1, count),
    }
    store.write(tmp_path / "poisons.h5", arrays, RECORD, eps_d=0.2, seed=4)
    done = defend(
        tmp_path,
        "--defence",
        "magnitude-filter",
        "--features",
        features,
        "--images",
        clean,
        "--poisons",
        tmp_path / "poisons.h5",
        tmp_path / "kept.h5",
    )
    assert done.returncode == 0, done.stderr
    found = store.read(tmp_path / "kept.h5")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array[rows])
        assert found[name].dtype == array.dtype
    facts = store.read_attributes(tmp_path / "kept.h5")
    assert facts == {
        "eps_d": 0.2,
        "seed": 4,
        "removed": count - len(rows),
        "clean_largest": pytest.approx(LARGEST),
    }
    record = store.read_provenance(tmp_path / "kept.h5")
    assert record["program"] == "scripts/defend_poisons.py"
    assert record["chosen"] == ["scripts/featpoison/defences/magnitude_filter.py"]
    assert record["settings"] == {"defence": "magnitude-filter"}
    assert {Path(name).name for name in record["inputs"]} == {"features.h5", "images.h5", "poisons.h5"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--images", "{}"], "the following arguments are required: --features, --poisons"),
        (FILES, "reads ['images'] beside features and poisons, given are []"),
        ([*FILES, "--images", "{}", "--encoder", "{}"], "given are ['encoder', 'images']"),
        (
            [*FILES, "--images", "{}", "--settings", '{"radius": 1}'],
            "settings do not fit MagnitudeFilter",
        ),
    ],
)
def test_what_the_defence_does_not_read_or_lacks_is_named(arguments, message, clean, tmp_path):
    given = [text.replace("{}", str(clean)) if text == "{}" else text for text in arguments]
    done = defend(tmp_path, "--defence", "magnitude-filter", *given, tmp_path / "kept.h5")
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "kept.h5").exists()
