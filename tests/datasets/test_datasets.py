import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from archives import short
from featpoison import config, store
from featpoison.audit.digests import Digests
from featpoison.audit.lineage import trace, tree
from featpoison.datasets import cifar
from featpoison.datasets.downloads import MIRROR_VARIABLE, DigestError
from featpoison.datasets.images import Images, balanced_subset
from featpoison.datasets.sources import Dataset, load
from featpoison.records.provenance import sha256_bytes
from helpers import ROOT
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def members(count=20):
    generator = np.random.default_rng(0)

    def batch():
        return cifar.to_records(generator.integers(0, 256, (count, 3, 32, 32), np.uint8), generator.integers(0, 10, count))

    names = "\n".join("abcdefghij").encode()
    return {"data_batch_2.bin": batch(), "data_batch_1.bin": batch(), "test_batch.bin": batch(), "batches.meta.txt": names}


def test_cifar_archive_in_the_official_layout(tmp_path):
    parts = members()
    files, _ = cifar.read_archive(archive(tmp_path / "c.tar.gz", parts), {name: sha256_bytes(data) for name, data in parts.items()})
    images = cifar.cifar10(files)
    assert images.train_images.shape == (40, 3, 32, 32)
    assert images.classes == tuple("abcdefghij")
    record = np.frombuffer(parts["data_batch_1.bin"], np.uint8)[:3073]
    assert images.train_labels[0] == record[0]
    np.testing.assert_array_equal(images.train_images[0, 0], record[1:1025].reshape(32, 32))  # the red plane, row by row


def test_tampered_missing_and_truncated_members_are_named(tmp_path):
    parts = members()
    digests = {name: sha256_bytes(data) for name, data in parts.items()}
    changed = parts | {"data_batch_1.bin": parts["data_batch_1.bin"][:-1] + b"\x00"}
    with pytest.raises(DigestError, match=r"data_batch_1\.bin has sha256 \w+, expected " + digests["data_batch_1.bin"]):
        cifar.read_archive(archive(tmp_path / "a.tar.gz", changed), digests)
    del changed["data_batch_1.bin"]
    with pytest.raises(DigestError, match=r"data_batch_1\.bin is missing"):
        cifar.read_archive(archive(tmp_path / "b.tar.gz", changed), digests)
    with pytest.raises(ValueError, match="no whole number of 3073-byte records"):
        cifar.parse_records(parts["test_batch.bin"][:-1])


@given(st.integers(1, 5), st.integers(0, 1000))
def test_records_round_trip(count, seed):
    generator = np.random.default_rng(seed)
    images, labels = generator.integers(0, 256, (count, 3, 32, 32), np.uint8), generator.integers(0, 10, count)
    back = cifar.parse_records(cifar.to_records(images, labels))
    np.testing.assert_array_equal(back[0], images)
    np.testing.assert_array_equal(back[1], labels)


def test_an_unverifiable_repackaged_archive_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path))
    archive(tmp_path / "other.tar.xz", members())
    entry = {"format": "cifar-10-binary", "archive": {"url": "http://127.0.0.1/c.tar.gz", "mirror_names": ("other.tar.xz",)}}
    with pytest.raises(DigestError, match="no digests of its members"):
        load(Dataset.model_validate(entry), tmp_path)


def cifar100_members():
    """Labels 10 k + coarse, as in the archive: coarse byte first."""
    generator = np.random.default_rng(0)

    def records(fine):
        pixels = generator.integers(0, 256, (len(fine), 3072), np.uint8)
        return np.concatenate([(fine // 5)[:, None], fine[:, None], pixels], axis=1).astype(np.uint8).tobytes()

    names = {"fine_label_names.txt": "\n".join(f"fine{i}" for i in range(100)), "coarse_label_names.txt": "\n".join(f"c{i}" for i in range(20))}
    return {"train.bin": records(np.array([99, 3, 50])), "test.bin": records(np.array([7]))} | {n: text.encode() for n, text in names.items()}


def mirrored(tmp_path, monkeypatch, parts, **changes):
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path))
    path = archive(tmp_path / "cifar-100-binary.tar.gz", parts)
    source = {"url": f"http://127.0.0.1:9/{path.name}", "md5": hashlib.md5(path.read_bytes()).hexdigest()}
    return Dataset.model_validate({"format": "cifar-100-binary", "archive": source} | changes)


def test_cifar100_has_fine_labels(tmp_path, monkeypatch):
    parts = cifar100_members()
    images, facts = load(mirrored(tmp_path, monkeypatch, parts), tmp_path)
    assert images.train_labels.tolist() == [99, 3, 50]
    assert images.test_labels.tolist() == [7]
    assert images.classes == tuple(f"fine{i}" for i in range(100))
    np.testing.assert_array_equal(images.train_images[1].reshape(-1), np.frombuffer(parts["train.bin"], np.uint8)[3074 + 2 : 2 * 3074])
    assert facts["verified"]  # by its MD5


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"train.bin": members(3)["test_batch.bin"]}, "member train.bin: 9219 bytes are no whole number of 3074-byte records"),
        ({"test.bin": b""}, "member test.bin: 0 bytes"),
        ({"fine_label_names.txt": b"one\ntwo\n"}, "train labels run from 3 to 99, expected 0 to 1"),
        ({"train.bin": None}, r"not a CIFAR-100 binary archive: .*expected \['fine_label_names.txt', 'test.bin', 'train.bin'\]"),
    ],
    ids=short,
)
def test_a_wrong_cifar100_archive_is_named(tmp_path, monkeypatch, changes, expected):
    parts = {name: data for name, data in (cifar100_members() | changes).items() if data is not None}
    with pytest.raises(ValueError, match=rf"cifar-100-binary\.tar\.gz: {expected}"):
        load(mirrored(tmp_path, monkeypatch, parts), tmp_path)


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"no tar at all"])
def test_a_damaged_tar_is_named(tmp_path, monkeypatch, damage):
    mirrored(tmp_path, monkeypatch, cifar100_members())
    path = tmp_path / "cifar-100-binary.tar.gz"
    path.write_bytes(damage(path.read_bytes()))
    source = {"url": f"http://127.0.0.1:9/{path.name}"}
    with pytest.raises(ValueError, match=r"cifar-100-binary\.tar\.gz: damaged, expected a whole tar archive"):
        load(Dataset.model_validate({"format": "cifar-100-binary", "archive": source}), tmp_path)


def test_a_folder_that_is_missing_stops_the_workflow():
    values = yaml.safe_load((ROOT / "workflow/config/demo.yaml").read_text())
    values["datasets"]["mine"] = {"format": "image-folder", "archive": {"path": "tests"}, "side": 32}
    config.parse(values, "demo.yaml")
    values["datasets"]["mine"]["archive"]["path"] = "absent/images"
    with pytest.raises(config.ConfigError, match=r"demo\.yaml: .*\n.*the folder absent/images does not exist"):
        config.parse(values, "demo.yaml")


SOURCE = {"url": "http://127.0.0.1:9/a"}
FOUR = dict.fromkeys(("train_images", "train_labels", "test_images", "test_labels"), SOURCE)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"format": "cifar-100-binary"}, "'archive' is missing, expected it for cifar-100-binary"),
        ({"format": "cifar-10-binary", "archive": SOURCE, "side": 64}, "'side' is 64, expected none for cifar-10-binary"),
        ({"format": "cifar-10-binary", "archive": SOURCE, "archives": FOUR}, r"'archives' are .*, expected \[\] for cifar-10-binary"),
        ({"format": "fashion-mnist", "archive": SOURCE}, "'archive' is given, expected archives for fashion-mnist"),
        ({"format": "fashion-mnist", "archives": FOUR | {"more": SOURCE}}, "'archives' are .*'more'.*expected .*'train_labels'. for"),
        ({"format": "fashion-mnist", "archives": FOUR, "members": {"a": "b"}}, "'members' are checked for cifar-10-binary, cifar-100-binary alone"),
        ({"format": "patch-camelyon", "archives": FOUR}, "expected .'test_x', 'test_y', 'train_x', 'train_y'. for patch-camelyon"),
        ({"format": "tiny-imagenet-200", "archive": SOURCE}, "'side' is required for tiny-imagenet-200"),
        ({"format": "image-folder", "archive": {"path": "x"}}, "'side' is required for image-folder"),
        ({"format": "image-folder", "archive": SOURCE, "side": 8}, r"'archive' has \['url'\], expected 'path', a folder"),
        ({"format": "image-folder", "archive": {"path": "x", "md5": "0"}, "side": 8}, r"'archive' has \['md5', 'path'\]"),
        ({"format": "cifar-100-binary", "archive": SOURCE, "seed": 1}, "'train_images' and 'seed' go together"),
        ({"format": "cifar-100-binary", "archive": SOURCE, "train_images": 1}, "'train_images' and 'seed' go together"),
        ({"format": "cifar-100-binary", "archive": SOURCE, "train_images": 0, "seed": 1}, "train_images\n.*greater than 0"),
        ({"format": "mnist", "archive": SOURCE}, "format\n.*'fashion-mnist'"),
    ],
    ids=short,
)
def test_options_that_do_not_fit_name_their_key(entry, expected):
    with pytest.raises(ValueError, match=expected):
        Dataset.model_validate(entry)


def test_the_paper_pins_every_archive():
    values = yaml.safe_load((ROOT / "workflow/config/paper.yaml").read_text())["datasets"]
    for name, value in values.items():
        for source in Dataset.model_validate_json(json.dumps(value)).sources:
            assert source.size, name
            assert len(source.sha256) == 64, name
    assert values["pcam-5000"]["train_images"] == 5000


def test_the_program_writes_the_product_and_the_audit_names_each_archive(tmp_path, monkeypatch):
    entry = mirrored(tmp_path, monkeypatch, cifar100_members(), train_images=2, seed=0)
    command = [sys.executable, "scripts/fetch_dataset.py", "--settings", entry.model_dump_json(), str(tmp_path / "images.h5")]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    assert store.lengths(tmp_path / "images.h5") == {"train_images": 2, "train_labels": 2, "test_images": 1, "test_labels": 1}
    assert len(store.read_attributes(tmp_path / "images.h5")["classes"]) == 100
    archive_digest = sha256_bytes((tmp_path / "cifar-100-binary.tar.gz").read_bytes())
    assert f"archive sha256 {archive_digest} (verified, not kept)" in "\n".join(tree(trace([tmp_path / "images.h5"], Digests())))
    record = store.read_provenance(tmp_path / "images.h5") | {"download": {"archives": {"train_x": "12", "test_x": "34"}, "verified": True}}
    store.write(tmp_path / "several.h5", {"labels": np.zeros(1)}, record)
    lines = "\n".join(tree(trace([tmp_path / "several.h5"], Digests())))
    assert "archive train_x sha256 12 (verified, not kept)" in lines
    assert "archive test_x sha256 34 (verified, not kept)" in lines


def embedded() -> Dataset:
    values = yaml.safe_load((ROOT / "workflow/config/demo.yaml").read_text())
    return Dataset.model_validate(values["datasets"]["cifar10-5k"])


def test_embedded_subset_is_balanced():
    images, digests = load(embedded(), Path("unused"))
    assert digests["verified"]
    assert np.bincount(images.train_labels).tolist() == [500] * 10
    assert np.bincount(images.test_labels).tolist() == [200] * 10


def test_embedded_subset_repeats_from_the_official_archive():
    name = Path(os.environ.get(MIRROR_VARIABLE, "")) / "cifar-10-binary.tar.xz"
    if MIRROR_VARIABLE not in os.environ or not name.is_file():
        pytest.skip(f"{MIRROR_VARIABLE} names no folder with CIFAR-10")
    official = yaml.safe_load((ROOT / "workflow/config/paper.yaml").read_text())["datasets"]["cifar10"]
    whole, _ = load(Dataset.model_validate_json(json.dumps(official)), Path("unused"))
    small, _ = load(embedded(), Path("unused"))
    for part, count in (("train", 500), ("test", 200)):
        arrays = whole.arrays()
        rows = balanced_subset(arrays[f"{part}_labels"], count, 0)
        np.testing.assert_array_equal(arrays[f"{part}_images"][rows], small.arrays()[f"{part}_images"])


def test_subset_is_balanced_and_says_when_it_cannot_be():
    labels = np.repeat(np.arange(3), 5)
    rows = balanced_subset(labels, 4, seed=1)
    assert np.bincount(labels[rows]).tolist() == [4, 4, 4]
    assert (np.diff(rows) > 0).all()
    assert not np.array_equal(rows, balanced_subset(labels, 4, seed=2))
    with pytest.raises(ValueError, match="class 0 has 5 images, 6 were asked for"):
        balanced_subset(labels, 6, seed=1)


def test_images_that_do_not_fit_are_refused():
    good, labels = np.zeros((2, 3, 4, 4), np.uint8), np.array([0, 1])
    with pytest.raises(ValueError, match="test labels run from 0 to 5"):
        Images(good, labels, good, np.array([0, 5]), ("a", "b"))
    with pytest.raises(ValueError, match="train images are float64"):
        Images(good.astype(float), labels, good, labels, ("a", "b"))


def jpeg(colour) -> bytes:
    data = io.BytesIO()
    Image.new("L" if isinstance(colour, int) else "RGB", (64, 64), colour).save(data, "JPEG", quality=95)
    return data.getvalue()


def test_tiny_imagenet_in_the_official_layout(tmp_path, monkeypatch):
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path))
    with zipfile.ZipFile(tmp_path / "tiny-imagenet-200.zip", "w") as archive:
        archive.writestr("tiny-imagenet-200/wnids.txt", "n02\nn01\n")
        archive.writestr("tiny-imagenet-200/train/n01/images/n01_0.JPEG", jpeg((200, 10, 10)))
        archive.writestr("tiny-imagenet-200/train/n02/images/n02_0.JPEG", jpeg(128))
        archive.writestr("tiny-imagenet-200/val/images/val_0.JPEG", jpeg((0, 0, 250)))
        archive.writestr("tiny-imagenet-200/val/val_annotations.txt", "val_0.JPEG\tn02\t0\t0\t9\t9\n")
    entry = {"format": "tiny-imagenet-200", "side": 32, "archive": {"url": "http://127.0.0.1/tiny-imagenet-200.zip"}}
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
