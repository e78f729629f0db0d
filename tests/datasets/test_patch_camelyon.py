"""PatchCamelyon in the official layout."""

import numpy as np
import pytest
from archives import hdf5, packed, short
from featpoison.datasets.downloads import MIRROR_VARIABLE
from featpoison.datasets.sources import Dataset, load
from featpoison.records.provenance import sha256_file

GENERATOR = np.random.default_rng(0)


X = {
    "train": GENERATOR.integers(0, 256, (11, 96, 96, 3), np.uint8),
    "test": GENERATOR.integers(0, 256, (3, 96, 96, 3), np.uint8),
}


Y = {"train": (np.arange(11) % 3 == 0).astype(np.uint8), "test": np.array([1, 0, 1], np.uint8)}


@pytest.fixture
def paths(tmp_path, monkeypatch):
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path))
    found = {}
    for part in ("train", "test"):
        name = f"camelyonpatch_level_2_split_{part}"
        found[f"{part}_x"] = packed(tmp_path / f"{name}_x.h5.gz", hdf5(x=X[part]))
        found[f"{part}_y"] = packed(tmp_path / f"{name}_y.h5.gz", hdf5(y=Y[part].reshape(-1, 1, 1, 1)))
    return found


def entry(paths, **changes):
    archives = {
        name: {"url": f"http://127.0.0.1:9/{path.name}", "sha256": sha256_file(path)}
        for name, path in paths.items()
    }
    return Dataset.model_validate({"format": "patch-camelyon", "archives": archives} | changes)


def test_all_patches_planes_first(paths, tmp_path):
    images, facts = load(entry(paths), tmp_path / "scratch")
    for part, found, labels in (
        ("train", images.train_images, images.train_labels),
        ("test", images.test_images, images.test_labels),
    ):
        np.testing.assert_array_equal(found, X[part].transpose(0, 3, 1, 2))
        assert labels.tolist() == Y[part].tolist()
    assert images.classes == ("normal", "tumor")
    assert facts["verified"]
    assert set(facts["archives"]) == {"train_x", "train_y", "test_x", "test_y"}
    assert list((tmp_path / "scratch").iterdir()) == []  # nothing unpacked is left


def test_random_training_patches_and_all_test_patches(paths, tmp_path):
    images, _ = load(entry(paths, train_images=5, seed=3), tmp_path)
    rows = np.sort(np.random.default_rng(3).choice(11, 5, replace=False))
    np.testing.assert_array_equal(images.train_images, X["train"][rows].transpose(0, 3, 1, 2))
    assert images.train_labels.tolist() == Y["train"][rows].tolist()
    assert len(images.test_images) == 3
    with pytest.raises(ValueError, match="'train_images' is 12, expected at most 11"):
        load(entry(paths, train_images=12, seed=3), tmp_path)


def test_a_side_averages_areas(paths, tmp_path):
    images, _ = load(entry(paths, side=32), tmp_path)
    areas = X["test"].astype(float).reshape(3, 32, 3, 32, 3, 3).mean((2, 4)).transpose(0, 3, 1, 2)
    assert np.abs(images.test_images - areas).max() < 1  # rows and columns are rounded one after the other


WHOLE = hdf5(x=X["test"])


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("test_x", hdf5(images=X["test"]), "no dataset 'x'; it holds images"),
        ("test_y", hdf5(labels=Y["test"]), "no dataset 'y'; it holds labels"),
        (
            "test_x",
            hdf5(x=X["test"].transpose(0, 3, 1, 2)),
            r"'x' is uint8 \(3, 3, 96, 96\), expected uint8 \(3, 96, 96, 3\)",
        ),
        ("test_x", hdf5(x=X["test"].astype(float)), r"'x' is float64 .*, expected uint8"),
        (
            "test_x",
            hdf5(x=X["test"][:2]),
            r"'x' is uint8 \(2, 96, 96, 3\), expected uint8 \(3, 96, 96, 3\): one for each label",
        ),
        ("train_y", hdf5(y=Y["train"]), r"'y' is uint8 \(11,\), expected uint8 \(n, 1, 1, 1\)"),
        ("train_y", hdf5(y=2 * Y["train"].reshape(-1, 1, 1, 1)), "labels run from 0 to 2, expected 0 to 1"),
        ("train_x", b"no HDF5", "HDF5 cannot read it"),
        ("test_x", WHOLE[: len(WHOLE) // 2], "HDF5 cannot read it"),
    ],
    ids=short,
)
def test_what_is_wrong_is_said_with_the_file(paths, tmp_path, name, data, expected):
    packed(paths[name], data)
    with pytest.raises(ValueError, match=rf"{paths[name].name}: .*{expected}"):
        load(entry(paths), tmp_path / "scratch")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_truncated_gzip_file_is_named(paths, tmp_path):
    data = paths["train_x"].read_bytes()
    paths["train_x"].write_bytes(data[:-1000])
    with pytest.raises(ValueError, match=r"train_x\.h5\.gz: damaged, expected a whole gzip file"):
        load(entry(paths), tmp_path)
