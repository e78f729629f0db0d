"""STL-10 in the layout of the official binary archive, against torchvision's reader."""

import hashlib

import numpy as np
import pytest
from archives import tar
from featpoison.datasets.downloads import MIRROR_VARIABLE
from featpoison.datasets.sources import Dataset, load
from torchvision.datasets import STL10

CLASSES = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]


def members(train=5, test=3):
    """The contents of the archive's files: a plane's columns, labels from 1 on."""
    generator = np.random.default_rng(0)

    def images(count):
        return generator.integers(0, 256, (count, 3, 96, 96), np.uint8).tobytes()

    return {
        "train_X.bin": images(train),
        "train_y.bin": bytes([1, 10, 3, 2, 2][:train]),
        "unlabeled_X.bin": images(2),
        "test_X.bin": images(test),
        "test_y.bin": bytes([7, 1, 10][:test]),
        "class_names.txt": "\n".join(CLASSES).encode() + b"\n",
        "fold_indices.txt": b"0 1 2 \n" * 10,
    }


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """Read an archive of these members in a mirror."""
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path))

    def read(files, **changes):
        path = tar(tmp_path / "stl10_binary.tar.gz", files, "stl10_binary")
        source = {"url": f"http://127.0.0.1:9/{path.name}", "md5": hashlib.md5(path.read_bytes()).hexdigest()}
        return load(
            Dataset.model_validate({"format": "stl-10-binary", "archive": source} | changes), tmp_path
        )

    return read


def test_images_and_labels_are_torchvisions(loaded, tmp_path, monkeypatch):
    files = members()
    images, facts = loaded(files)
    assert facts["verified"]
    assert images.classes == tuple(CLASSES)
    assert images.train_labels.tolist() == [0, 9, 2, 1, 1]
    (tmp_path / "stl10_binary").mkdir()
    for name, data in files.items():
        (tmp_path / "stl10_binary" / name).write_bytes(data)
    monkeypatch.setattr(STL10, "_check_integrity", lambda self: True)  # of the official bytes
    for part, (pixels, labels) in {
        "train": (images.train_images, images.train_labels),
        "test": (images.test_images, images.test_labels),
    }.items():
        oracle = STL10(tmp_path, part)
        np.testing.assert_array_equal(pixels, oracle.data)
        np.testing.assert_array_equal(labels, oracle.labels)
        assert tuple(oracle.classes) == images.classes


def test_a_side_averages_and_rows_are_chosen(loaded):
    whole, _ = loaded(members())
    small, _ = loaded(members(), side=32, train_images=2, seed=0)
    means = whole.test_images.reshape(3, 3, 32, 3, 32, 3).mean((3, 5))
    assert small.test_images.shape == (3, 3, 32, 32)
    np.testing.assert_allclose(small.test_images, means, rtol=0, atol=1)  # rounded along each side
    assert len(small.train_images) == len(small.train_labels) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_X.bin": None}, "no member train_X.bin, expected STL-10's binary archive"),
        ({"class_names.txt": None}, "no member class_names.txt"),
        ({"test_X.bin": b"12"}, "member test_X.bin: 2 bytes, expected 82944: an image for each label"),
        ({"test_y.bin": bytes([0, 1, 2])}, "member test_y.bin: labels run from 0 to 2, expected 1 to 10"),
        ({"train_y.bin": bytes([1, 2, 3, 4, 11])}, "member train_y.bin: labels run from 1 to 11"),
    ],
)
def test_damaged_members_are_named(changes, message, loaded):
    files = {name: data for name, data in (members() | changes).items() if data is not None}
    with pytest.raises(ValueError, match=rf"stl10_binary\.tar\.gz: {message}"):
        loaded(files)


def test_a_cut_archive_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path))
    path = tar(tmp_path / "stl10_binary.tar.gz", members(), "stl10_binary")
    path.write_bytes(path.read_bytes()[:-5000])
    entry = {"format": "stl-10-binary", "archive": {"url": f"http://127.0.0.1:9/{path.name}"}}
    with pytest.raises(ValueError, match=r"stl10_binary\.tar\.gz: damaged, expected a whole tar archive"):
        load(Dataset.model_validate(entry), tmp_path)
