"""Tiny-ImageNet-200 in the official layout."""

import zipfile

import pytest
from archives import jpeg
from featpoison.datasets.downloads import MIRROR_VARIABLE
from featpoison.datasets.sources import Dataset, load


def test_tiny_imagenet_in_the_official_layout(tmp_path, monkeypatch):
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path))
    with zipfile.ZipFile(tmp_path / "tiny-imagenet-200.zip", "w") as archive:
        archive.writestr("tiny-imagenet-200/wnids.txt", "n02\nn01\n")
        archive.writestr("tiny-imagenet-200/train/n01/images/n01_0.JPEG", jpeg((200, 10, 10)))
        archive.writestr("tiny-imagenet-200/train/n02/images/n02_0.JPEG", jpeg(128))
        archive.writestr("tiny-imagenet-200/val/images/val_0.JPEG", jpeg((0, 0, 250)))
        archive.writestr("tiny-imagenet-200/val/val_annotations.txt", "val_0.JPEG\tn02\t0\t0\t9\t9\n")
    entry = {
        "format": "tiny-imagenet-200",
        "side": 32,
        "archive": {"url": "http://127.0.0.1/tiny-imagenet-200.zip"},
    }
    images, digests = load(Dataset.model_validate(entry), tmp_path)
    assert not digests["verified"]
    assert images.classes == ("n01", "n02")
    assert images.train_labels.tolist() == [0, 1]
    assert images.test_labels.tolist() == [1]
    assert images.train_images.shape == (2, 3, 32, 32)
    assert abs(images.train_images[0].mean((1, 2)) - [200, 10, 10]).max() < 4
    assert abs(images.train_images[1].mean((1, 2)) - 128).max() < 2  # a grey picture


def test_a_wrong_zip_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path))
    entry = {"format": "tiny-imagenet-200", "side": 32, "archive": {"url": "http://127.0.0.1:9/tiny.zip"}}
    path = tmp_path / "tiny.zip"
    path.write_bytes(b"PK no zip")
    with pytest.raises(ValueError, match=r"tiny\.zip: damaged, expected a whole zip archive"):
        load(Dataset.model_validate(entry), tmp_path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other/wnids.txt", "n01\n")
    with pytest.raises(ValueError, match=r"tiny\.zip: no member tiny-imagenet-200/wnids\.txt"):
        load(Dataset.model_validate(entry), tmp_path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny-imagenet-200/wnids.txt", "n01\n")
        archive.writestr("tiny-imagenet-200/train/n01/images/n01_0.JPEG", jpeg(3)[:-200])
        archive.writestr("tiny-imagenet-200/val/val_annotations.txt", "")
    with pytest.raises(ValueError, match=r"tiny\.zip: member .*/n01_0\.JPEG: no whole image"):
        load(Dataset.model_validate(entry), tmp_path)
