"""HDF5 in and out. Nobody else in this project opens an .h5 file.

Layout of every file: numeric arrays as root datasets, chunked by rows, each with HDF5's fletcher32 and a ``sha256`` attribute over
its dtype, shape and bytes; JSON scalars and lists as root attributes; the provenance record in the root attribute ``provenance``; a
digest over all of this in ``content``. A file appears by rename, whole or not at all, and holds no time stamp: equal content, equal bytes.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from featpoison.files import replacing
from featpoison.provenance import Record, canonical_json, sha256_bytes

CHUNK_BYTES = 2 << 20
SEALED = ("provenance", "content")


class StoreError(ValueError):
    """A file is not what it says it is; the message names the file, the dataset and what differs."""


def write(path: Path, arrays: Mapping[str, np.ndarray], provenance: Record, **attributes: Any) -> None:
    """Write `arrays` (any shape, numeric) and JSON `attributes` to `path`, atomically. Non-finite floats are refused."""
    with replacing(path) as temporary, h5py.File(temporary, "w", libver="latest", track_order=False) as file:
        for name in sorted(arrays):
            array = np.ascontiguousarray(arrays[name])
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise StoreError(f"{path}: dataset {name!r} holds NaN or infinity; nothing was written")
            options: dict[str, Any] = {}
            if array.ndim and array.size:
                rows = max(1, min(array.shape[0], CHUNK_BYTES // max(1, array[0].nbytes)))
                options = {"chunks": (rows, *array.shape[1:]), "fletcher32": True}
            dataset = file.create_dataset(name, data=array, track_times=False, **options)
            dataset.attrs["sha256"] = _array_digest(array)
        for key in sorted(attributes):
            file.attrs[key] = canonical_json(attributes[key])
        file.attrs["provenance"] = canonical_json(provenance)
        file.attrs["content"] = _content_digest(file)


def read(path: Path, *names: str, rows: slice | np.ndarray | None = None) -> dict[str, np.ndarray]:
    """The named datasets (all without names), or only some of their rows. Raises StoreError on a missing name or a failed checksum."""
    with _opened(path) as file:
        wanted = names or tuple(file)
        missing = [name for name in wanted if name not in file]
        if missing:
            raise StoreError(f"{path}: no dataset {missing[0]!r}; it holds {', '.join(file)}")
        return {name: file[name][() if rows is None else rows] for name in wanted}


def read_attributes(path: Path) -> dict[str, Any]:
    """The JSON attributes, without the seal."""
    with _opened(path) as file:
        return {key: json.loads(value) for key, value in file.attrs.items() if key not in SEALED}


def read_provenance(path: Path) -> Record:
    """The provenance record of a product."""
    with _opened(path) as file:
        if "provenance" not in file.attrs:
            raise StoreError(f"{path}: has no provenance record; expected a file written by this project")
        return json.loads(file.attrs["provenance"])


def lengths(path: Path) -> dict[str, int]:
    """Number of rows of each dataset, without reading them."""
    with _opened(path) as file:
        return {name: len(dataset) for name, dataset in file.items()}


def verify(path: Path) -> None:
    """Read everything and compare with the seals. Returns None, or raises StoreError with the file, the dataset and what differs."""
    with _opened(path) as file:
        for name, dataset in file.items():
            recorded, found = dataset.attrs.get("sha256"), _array_digest(dataset[()])
            if recorded != found:
                raise StoreError(f"{path}: dataset {name!r} has sha256 {found}, recorded is {recorded}")
        recorded, found = file.attrs.get("content"), _content_digest(file)
        if recorded != found:
            raise StoreError(f"{path}: attributes have digest {found}, recorded is {recorded}")


def _array_digest(array: np.ndarray) -> str:
    header = canonical_json([array.dtype.str, list(array.shape)]).encode()
    return sha256_bytes(header, np.ascontiguousarray(array).tobytes())


def _content_digest(file: h5py.File) -> str:
    datasets: Sequence[Any] = [[name, file[name].attrs.get("sha256")] for name in sorted(file)]
    attributes = [[key, file.attrs[key]] for key in sorted(file.attrs) if key != "content"]
    return sha256_bytes(canonical_json([datasets, attributes]).encode())


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise StoreError(f"{path}: damaged, HDF5 cannot read it: {error}") from error
