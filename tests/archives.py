"""Small archives in the layouts of the official ones."""

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import h5py
import numpy as np
from featpoison.datasets.cifar import to_records
from featpoison.datasets.downloads import MIRROR_VARIABLE
from featpoison.datasets.sources import Dataset
from PIL import Image


def idx(array: np.ndarray) -> bytes:
    """An idx file of bytes."""
    lengths = b"".join(length.to_bytes(4, "big") for length in array.shape)
    return bytes([0, 0, 8, array.ndim]) + lengths + array.astype(np.uint8).tobytes()


def hdf5(**arrays: np.ndarray) -> bytes:
    """An HDF5 file."""
    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, chunks=(min(4, len(array)), *array.shape[1:]))
    return data.getvalue()


def packed(path: Path, data: bytes) -> Path:
    """A gzip file."""
    path.write_bytes(gzip.compress(data, mtime=0))
    return path


def picture(path: Path, image: np.ndarray) -> Path:
    """An image file of uint8 (h, w, 3) or (h, w)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def short(value: object) -> str:
    """A parameter's part of a test's name: not the bytes of files."""
    return value if isinstance(value, str) and value.isidentifier() else "-"


def tar(path: Path, members: dict[str, bytes], folder: str = "cifar-10-batches-bin") -> Path:
    """A tar archive of these members, in one folder."""
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def jpeg(colour: int | tuple[int, ...], side: int = 64) -> bytes:
    """A JPEG file of one grey value or one colour."""
    data = io.BytesIO()
    mode = "L" if isinstance(colour, int) else "RGB"
    Image.new(mode, (side, side), colour).save(data, "JPEG", quality=95)
    return data.getvalue()


def cifar10_members(count=20):
    """The contents of CIFAR-10's files, with two training batches."""
    generator = np.random.default_rng(0)

    def batch():
        images = generator.integers(0, 256, (count, 3, 32, 32), np.uint8)
        return to_records(images, generator.integers(0, 10, count))

    names = "\n".join("abcdefghij").encode()
    return {
        "data_batch_2.bin": batch(),
        "data_batch_1.bin": batch(),
        "test_batch.bin": batch(),
        "batches.meta.txt": names,
    }


def cifar100_members():
    """The contents of CIFAR-100's files: records of a coarse label, a fine label and an image."""
    generator = np.random.default_rng(0)

    def records(fine):
        pixels = generator.integers(0, 256, (len(fine), 3072), np.uint8)
        rows = np.concatenate([(fine // 5)[:, None], fine[:, None], pixels], axis=1)
        return rows.astype(np.uint8).tobytes()

    return {
        "fine_label_names.txt": "\n".join(f"fine{i}" for i in range(100)).encode(),
        "coarse_label_names.txt": "\n".join(f"c{i}" for i in range(20)).encode(),
        "train.bin": records(np.array([99, 3, 50])),
        "test.bin": records(np.array([7])),
    }


def mirrored_cifar100(tmp_path, monkeypatch, parts, **changes):
    """A data set whose archive of these members lies in a mirror."""
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path))
    path = tar(tmp_path / "cifar-100-binary.tar.gz", parts)
    source = {"url": f"http://127.0.0.1:9/{path.name}", "md5": hashlib.md5(path.read_bytes()).hexdigest()}
    return Dataset.model_validate({"format": "cifar-100-binary", "archive": source} | changes)
