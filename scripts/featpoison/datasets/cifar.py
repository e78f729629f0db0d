"""The binary archives of CIFAR-10 and CIFAR-100 (Krizhevsky, 2009).

A record is one or two bytes of labels and an image of 3 x 32 x 32 bytes, the red plane first. Nothing is ever
unpickled.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from featpoison.datasets.downloads import DigestError
from featpoison.datasets.images import Images
from featpoison.datasets.tarred import read_members
from featpoison.records.provenance import sha256_bytes

SIDE = 32
PIXELS = 3 * SIDE * SIDE


def read_archive(path: Path, members: Mapping[str, str]) -> tuple[dict[str, bytes], str]:
    """The contents of the files in a tar archive by their base names, and one digest over all of them.

    `members` gives the SHA-256 of files by base name. Where it names any, only these are read, and each of
    them is checked. Raises DigestError for a member that is missing or differs, and ValueError as
    `read_members`.
    """
    found = read_members(path, members or None)  # what is not checked is not read
    for name, expected in members.items():
        if name not in found:
            raise DigestError(f"{path}: member {name} is missing or not where it should be")
        digest = sha256_bytes(found[name])
        if digest != expected:
            raise DigestError(f"{path}: member {name} has sha256 {digest}, expected {expected}")
    return found, sha256_bytes(*(f"{name}:{sha256_bytes(found[name])}\n".encode() for name in sorted(found)))


def parse_records(data: bytes, label_bytes: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (n, 3, 32, 32) and labels int64 (n,) of one binary file.

    Of `label_bytes` label bytes in a record, the last is taken; in CIFAR-100 it is the fine label. Raises
    ValueError where `data` is no whole number of records.
    """
    length = label_bytes + PIXELS
    if not data or len(data) % length:
        raise ValueError(f"{len(data)} bytes are no whole number of {length}-byte records")
    records = np.frombuffer(data, np.uint8).reshape(-1, length)
    return records[:, label_bytes:].reshape(-1, 3, SIDE, SIDE), records[:, label_bytes - 1].astype(np.int64)


def to_records(images: np.ndarray, labels: np.ndarray) -> bytes:
    """The inverse of `parse_records` for one label byte: images uint8 (n, 3, 32, 32), labels (n,)."""
    return np.concatenate(
        [labels.astype(np.uint8)[:, None], images.reshape(len(images), PIXELS)], axis=1
    ).tobytes()


def cifar10(files: Mapping[str, bytes]) -> Images:
    """CIFAR-10 from the contents of its files by name: all training batches in the order of their names.

    Raises ValueError where a file is missing or damaged.
    """
    names = sorted(name for name in files if name.startswith("data_batch_") and name.endswith(".bin"))
    if not names or "test_batch.bin" not in files or "batches.meta.txt" not in files:
        raise ValueError(f"not a CIFAR-10 binary archive: it holds {sorted(files)}")
    return _images(files, names, "test_batch.bin", "batches.meta.txt", label_bytes=1)


def cifar100(files: Mapping[str, bytes]) -> Images:
    """CIFAR-100 from the contents of its files by name, with the fine labels; coarse labels are not kept.

    Raises ValueError where a file is missing or damaged.
    """
    needed = {"train.bin", "test.bin", "fine_label_names.txt"}
    if not needed <= set(files):
        raise ValueError(
            f"not a CIFAR-100 binary archive: it holds {sorted(files)}, expected {sorted(needed)} among them"
        )
    return _images(files, ["train.bin"], "test.bin", "fine_label_names.txt", label_bytes=2)


def _images(
    files: Mapping[str, bytes], train: list[str], test: str, classes: str, *, label_bytes: int
) -> Images:
    """The data set in the named members. Raises ValueError naming the member that is damaged."""
    parts = {}
    for name in [*train, test]:
        try:
            parts[name] = parse_records(files[name], label_bytes)
        except ValueError as error:
            raise ValueError(f"member {name}: {error}") from None
    return Images(
        train_images=np.concatenate([parts[name][0] for name in train]),
        train_labels=np.concatenate([parts[name][1] for name in train]),
        test_images=parts[test][0],
        test_labels=parts[test][1],
        classes=_names(files[classes], classes),
    )


def _names(data: bytes, member: str) -> tuple[str, ...]:
    """The names of the classes. Raises ValueError naming the member that is no text."""
    try:
        return tuple(data.decode().split())
    except UnicodeDecodeError as error:
        raise ValueError(f"member {member}: no text in UTF-8: {error}") from None
