import gzip

import numpy as np
import pytest
from archives import idx, packed, short
from featpoison.datasets import fashion_mnist
from featpoison.datasets.downloads import MIRROR_VARIABLE, DigestError
from featpoison.datasets.fashion_mnist import parse_idx, read_archives
from featpoison.datasets.sources import Dataset, load
from featpoison.records.provenance import sha256_file
from hypothesis import given
from hypothesis import strategies as st

GENERATOR = np.random.default_rng(0)
ARRAYS = {
    "train_images": GENERATOR.integers(1, 256, (12, 28, 28), np.uint8),
    "train_labels": np.arange(12) % 10,
    "test_images": GENERATOR.integers(1, 256, (5, 28, 28), np.uint8),
    "test_labels": np.arange(5),
}


@pytest.fixture
def paths(tmp_path):
    return {name: packed(tmp_path / f"{name}.gz", idx(array)) for name, array in ARRAYS.items()}


def test_grey_planes_are_repeated_and_padded(paths):
    images = read_archives(paths)
    assert images.train_images.shape == (12, 3, 32, 32)
    for plane in range(3):
        np.testing.assert_array_equal(images.train_images[:, plane, 2:30, 2:30], ARRAYS["train_images"])
    assert np.count_nonzero(images.train_images) == 3 * 12 * 28 * 28  # and black around
    assert images.test_labels.tolist() == [0, 1, 2, 3, 4]
    assert len(images.classes) == len(set(images.classes)) == 10


WHOLE = gzip.compress(idx(ARRAYS["test_images"]))


@pytest.mark.parametrize(
    ("name", "data", "raw", "expected"),
    [
        ("train_images", idx(ARRAYS["train_labels"]), False, "begins with 00000801, expected 00000803"),
        ("train_labels", idx(ARRAYS["train_images"]), False, "begins with 00000803, expected 00000801"),
        ("test_images", b"\x00\x00\x0d\x03" + bytes(12), False, "begins with 00000d03, expected 00000803"),
        ("test_labels", b"", False, "begins with , expected 00000801"),
        (
            "test_images",
            idx(ARRAYS["test_images"])[:-1],
            False,
            r"3919 values, expected 3920 of shape \(5, 28, 28\)",
        ),
        ("test_images", idx(ARRAYS["test_images"]) + b"\x00", False, "3921 values, expected 3920"),
        ("test_images", idx(ARRAYS["test_images"])[:9], False, "ends after 9 bytes, expected a header of 16"),
        (
            "test_images",
            idx(ARRAYS["test_images"][:, :27]),
            False,
            r"images of \(27, 28\), expected \(28, 28\)",
        ),
        (
            "test_labels",
            idx(np.arange(4)),
            False,
            "4 labels, expected 5: one for each image of test_images.gz",
        ),
        ("train_labels", idx(np.arange(12)), False, "labels run from 0 to 11, expected 0 to 9"),
        ("test_images", WHOLE[:-9], True, "damaged, expected a whole gzip file"),
        ("test_images", WHOLE[:2000] + b"\x00" + WHOLE[2001:], True, "damaged, expected a whole gzip file"),
        ("test_images", idx(ARRAYS["test_images"]), True, "damaged, expected a whole gzip file"),
    ],
    ids=short,
)
def test_what_is_wrong_is_said_with_the_file(paths, name, data, raw, expected):
    if raw:
        paths[name].write_bytes(data)
    else:
        packed(paths[name], data)
    with pytest.raises(ValueError, match=rf"{name}\.gz: {expected}"):
        read_archives(paths)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=3), st.integers(0, 99))
def test_idx_round_trip(shape, seed):
    array = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    np.testing.assert_array_equal(parse_idx(idx(array), len(shape), "x"), array)


@given(st.binary(max_size=40))
def test_any_bytes_are_an_array_or_a_value_error(data):
    try:
        array = parse_idx(data, 3, "x")
    except ValueError:
        return
    assert data == idx(array)


def entry(paths, **changes):
    archives = {
        name: {"url": f"http://127.0.0.1:9/{path.name}", "sha256": sha256_file(path)}
        for name, path in paths.items()
    }
    return Dataset.model_validate({"format": "fashion-mnist", "archives": archives} | changes)


def test_each_archive_is_checked_and_recorded(paths, tmp_path, monkeypatch):
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path))
    dataset = entry(paths)
    images, facts = load(dataset, tmp_path / "none")
    assert facts == {"archives": {name: sha256_file(path) for name, path in paths.items()}, "verified": True}
    assert images.train_labels.tolist() == ARRAYS["train_labels"].tolist()
    paths["train_labels"].rename(tmp_path / "x")  # two files in each other's place
    paths["test_labels"].rename(paths["train_labels"])
    (tmp_path / "x").rename(paths["test_labels"])
    train, test = (dataset.archives[f"{part}_labels"].sha256 for part in ("train", "test"))
    with pytest.raises(DigestError, match=f"test_labels.gz: sha256 is {train}, expected {test}"):
        load(dataset, tmp_path / "none")


def test_a_random_part_of_the_training_images(paths, tmp_path, monkeypatch):
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path))
    found = [load(entry(paths, train_images=7, seed=seed), tmp_path)[0] for seed in (0, 0, 1)]
    whole = fashion_mnist.read_archives(paths)
    rows = [
        next(row for row in range(12) if np.array_equal(whole.train_images[row], image))
        for image in found[0].train_images
    ]
    assert rows == sorted(set(rows))
    assert found[0].train_labels.tolist() == whole.train_labels[rows].tolist()
    np.testing.assert_array_equal(found[0].train_images, found[1].train_images)
    assert not np.array_equal(found[0].train_images, found[2].train_images)
    assert len(found[0].test_images) == 5
    with pytest.raises(ValueError, match="'train_images' is 13, expected at most 12"):
        load(entry(paths, train_images=13, seed=0), tmp_path)


def test_validation_images_are_other_training_images(paths, tmp_path, monkeypatch):
    """So that a choice can be made without the test set."""
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path))
    whole = fashion_mnist.read_archives(paths)
    alone, _ = load(entry(paths, train_images=7, seed=0), tmp_path)
    found, _ = load(entry(paths, train_images=7, validation_images=5, seed=0), tmp_path)
    np.testing.assert_array_equal(found.train_images, alone.train_images)
    both = np.concatenate([found.train_images, found.test_images])
    rows = [int(np.flatnonzero((whole.train_images == image).all((1, 2, 3)))[0]) for image in both]
    assert sorted(rows) == list(range(12))
    labels = [*found.train_labels, *found.test_labels]
    assert labels == whole.train_labels[rows].tolist()
    with pytest.raises(ValueError, match="'validation_images' is 6, expected at most 5"):
        load(entry(paths, train_images=7, validation_images=6, seed=0), tmp_path)
