"""The binary archives of CIFAR-10 and CIFAR-100."""

import numpy as np
import pytest
from archives import cifar10_members, cifar100_members, mirrored_cifar100, short, tar
from featpoison.datasets import cifar
from featpoison.datasets.downloads import DigestError
from featpoison.datasets.sources import Dataset, load
from featpoison.records.provenance import sha256_bytes
from hypothesis import given
from hypothesis import strategies as st


def test_cifar_archive_in_the_official_layout(tmp_path):
    parts = cifar10_members()
    files, _ = cifar.read_archive(
        tar(tmp_path / "c.tar.gz", parts), {name: sha256_bytes(data) for name, data in parts.items()}
    )
    images = cifar.cifar10(files)
    assert images.train_images.shape == (40, 3, 32, 32)
    assert images.classes == tuple("abcdefghij")
    record = np.frombuffer(parts["data_batch_1.bin"], np.uint8)[:3073]
    assert images.train_labels[0] == record[0]
    # The red plane, row by row.
    np.testing.assert_array_equal(images.train_images[0, 0], record[1:1025].reshape(32, 32))


def test_tampered_missing_and_truncated_members_are_named(tmp_path):
    parts = cifar10_members()
    digests = {name: sha256_bytes(data) for name, data in parts.items()}
    changed = parts | {"data_batch_1.bin": parts["data_batch_1.bin"][:-1] + b"\x00"}
    with pytest.raises(
        DigestError, match=r"data_batch_1\.bin has sha256 \w+, expected " + digests["data_batch_1.bin"]
    ):
        cifar.read_archive(tar(tmp_path / "a.tar.gz", changed), digests)
    del changed["data_batch_1.bin"]
    with pytest.raises(DigestError, match=r"data_batch_1\.bin is missing"):
        cifar.read_archive(tar(tmp_path / "b.tar.gz", changed), digests)
    with pytest.raises(ValueError, match="no whole number of 3073-byte records"):
        cifar.parse_records(parts["test_batch.bin"][:-1])


@given(st.integers(1, 5), st.integers(0, 1000))
def test_records_round_trip(count, seed):
    generator = np.random.default_rng(seed)
    images, labels = (
        generator.integers(0, 256, (count, 3, 32, 32), np.uint8),
        generator.integers(0, 10, count),
    )
    back = cifar.parse_records(cifar.to_records(images, labels))
    np.testing.assert_array_equal(back[0], images)
    np.testing.assert_array_equal(back[1], labels)


def test_cifar100_has_fine_labels(tmp_path, monkeypatch):
    parts = cifar100_members()
    images, facts = load(mirrored_cifar100(tmp_path, monkeypatch, parts), tmp_path)
    assert images.train_labels.tolist() == [99, 3, 50]
    assert images.test_labels.tolist() == [7]
    assert images.classes == tuple(f"fine{i}" for i in range(100))
    np.testing.assert_array_equal(
        images.train_images[1].reshape(-1), np.frombuffer(parts["train.bin"], np.uint8)[3074 + 2 : 2 * 3074]
    )
    assert facts["verified"]  # by its MD5


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"train.bin": cifar10_members(3)["test_batch.bin"]},
            "member train.bin: 9219 bytes are no whole number of 3074-byte records",
        ),
        ({"test.bin": b""}, "member test.bin: 0 bytes"),
        ({"fine_label_names.txt": b"one\ntwo\n"}, "train labels run from 3 to 99, expected 0 to 1"),
        (
            {"train.bin": None},
            r"not a CIFAR-100 binary archive: .*expected \['fine_label_names.txt', 'test.bin', 'train.bin'\]",
        ),
    ],
    ids=short,
)
def test_a_wrong_cifar100_archive_is_named(tmp_path, monkeypatch, changes, expected):
    parts = {name: data for name, data in (cifar100_members() | changes).items() if data is not None}
    with pytest.raises(ValueError, match=rf"cifar-100-binary\.tar\.gz: {expected}"):
        load(mirrored_cifar100(tmp_path, monkeypatch, parts), tmp_path)


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"no tar at all"])
def test_a_damaged_tar_is_named(tmp_path, monkeypatch, damage):
    mirrored_cifar100(tmp_path, monkeypatch, cifar100_members())
    path = tmp_path / "cifar-100-binary.tar.gz"
    path.write_bytes(damage(path.read_bytes()))
    source = {"url": f"http://127.0.0.1:9/{path.name}"}
    with pytest.raises(ValueError, match=r"cifar-100-binary\.tar\.gz: damaged, expected a whole tar archive"):
        load(Dataset.model_validate({"format": "cifar-100-binary", "archive": source}), tmp_path)
