"""Small archives in the layouts of the official ones."""

import gzip
import io
from pathlib import Path

import h5py
import numpy as np
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
