"""HDF5 in and out. No other module of this project opens an .h5 file.

Layout of every file. Numeric arrays are root datasets, chunked by rows; each has HDF5's checksum fletcher32
and an attribute `sha256`, a digest over its type, shape and bytes. JSON values are root attributes; one of
them, `provenance`, is the provenance record. The attribute `content` is a digest over all of these. Some of
HDF5's own bytes are covered by none of them. Therefore the user block, 512 bytes at the start of a file which
HDF5 does not use, holds the SHA-256 of all bytes after it. A file appears whole or not at all, and holds no
time stamp: equal contents give equal bytes.

A chunk holds at most 2 MiB (13 images of 3 x 224 x 224, 682 of 3 x 32 x 32), so that some rows can be read
without the others. What may be larger than memory is read by rows (`rows`), and written block by block from
an object that makes rows when they are asked for (`Rows`).
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from featpoison.common.files import outlasting, replacing
from featpoison.records.provenance import Record, canonical_json, of_product, sha256_bytes

CHUNK_BYTES = 2 << 20
CACHE_BYTES = 4 << 20
"""HDF5's own cache, 1 MiB, holds no whole chunk; every block that ends in a chunk would read it again."""
SEALED = ("provenance", "content")
SEAL_BYTES = 512
"""The smallest user block that HDF5 allows."""


class StoreError(ValueError):
    """A file is not what it should be. The message names the file, the dataset, and what differs."""


class Rows(ABC):
    """An array whose rows are made when they are asked for: `rows[start:stop]` is a numpy array.

    `shape` is that of the whole array, (n, ...), and `dtype` its type.
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    def __len__(self) -> int:
        """Number of rows."""
        return self.shape[0]

    @abstractmethod
    def __getitem__(self, rows: slice) -> np.ndarray:
        """The rows of a slice with step 1, as a numpy array."""


class Stored(Rows):
    """A dataset of an open file, read as it is sliced."""

    def __init__(self, path: Path, dataset: h5py.Dataset) -> None:
        self.shape, self.dtype = dataset.shape, dataset.dtype
        self._path, self._dataset = path, dataset

    def __getitem__(self, rows: slice) -> np.ndarray:
        """The rows of a slice with step 1. Raises StoreError where they cannot be read."""
        with _readable(self._path):
            return self._dataset[rows]

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The rows with the indices `rows` (k,), in any order, repeated or not.

        Raises StoreError as `read` does.
        """
        with _readable(self._path):
            return _take(self._dataset, rows, f"{self._path}: dataset {self._dataset.name[1:]!r}")

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows in order, in arrays of as many rows as a chunk holds."""
        for block in _blocks(self.shape, self.dtype):
            yield self[block]


def write(path: Path, arrays: Mapping[str, np.ndarray | Rows], provenance: Record, **attributes: Any) -> None:
    """Write `arrays`, numeric and of any shape, and the JSON `attributes` to `path`.

    The file appears whole or not at all. Raises StoreError for floats that are not finite, NotWritten where
    the disk is full.
    """
    with replacing(path) as temporary:
        with (
            outlasting(temporary) as sink,
            h5py.File(sink, "w", libver="latest", track_order=False, userblock_size=SEAL_BYTES) as file,
        ):
            for name in sorted(arrays):
                given = arrays[name]
                array = given if isinstance(given, Rows) else np.ascontiguousarray(given)
                _write_array(file, f"{path}: dataset {name!r}", name, array)
            for key in sorted(attributes):
                file.attrs[key] = canonical_json(attributes[key])
            file.attrs["provenance"] = canonical_json(of_product(provenance, path))
            file.attrs["content"] = _content_digest(file)
        block = _seal(temporary)
        with open(temporary, "r+b") as raw:
            raw.write(block)


def read(path: Path, *names: str, rows: slice | np.ndarray | None = None) -> dict[str, np.ndarray]:
    """The datasets `names` by name, all of them where no name is given.

    `rows` chooses some of their rows, which are read without the other chunks: a slice, or indices (k,) in
    any order, repeated or not. Raises FileNotFoundError, or StoreError for a name or a row that does not
    exist and for a checksum that does not fit.
    """
    with _opened(path) as file:
        wanted = {name: _dataset(file, path, name) for name in names or tuple(file)}
        if isinstance(rows, np.ndarray):
            return {
                name: _take(dataset, rows, f"{path}: dataset {name!r}") for name, dataset in wanted.items()
            }
        return {name: dataset[() if rows is None else rows] for name, dataset in wanted.items()}


@contextmanager
def rows(path: Path, name: str) -> Iterator[Stored]:
    """The dataset `name` of `path`, read as it is sliced and never as a whole. Raises as `read` does."""
    with _readable(path):
        file = h5py.File(path, "r", rdcc_nbytes=CACHE_BYTES)
    with file:
        yield Stored(path, _dataset(file, path, name))


def extent(path: Path, name: str) -> tuple[Any, Any]:
    """The smallest and the largest value of a dataset, in its own type, read block by block.

    Raises ValueError where the dataset is empty, and else as `read` does.
    """
    with rows(path, name) as stored:
        bounds = [(block.min(), block.max()) for block in stored.blocks()]
    return min(low for low, _ in bounds), max(high for _, high in bounds)


def read_attributes(path: Path) -> dict[str, Any]:
    """The JSON attributes by name, without provenance and digest. Raises FileNotFoundError or StoreError."""
    with _opened(path) as file:
        return {key: json.loads(value) for key, value in file.attrs.items() if key not in SEALED}


def read_attribute(path: Path, name: str) -> Any:
    """One JSON attribute. Raises StoreError where there is none of this name, else as `read_attributes`."""
    found = read_attributes(path)
    if name not in found:
        raise StoreError(f"{path}: no attribute {name!r}; it has {', '.join(found) or 'none'}")
    return found[name]


def read_provenance(path: Path) -> Record:
    """The provenance record of a product.

    Raises FileNotFoundError, or StoreError where there is no record.
    """
    with _opened(path) as file:
        if "provenance" not in file.attrs:
            raise StoreError(f"{path}: has no provenance record; expected a file written by this project")
        return json.loads(file.attrs["provenance"])


def lengths(path: Path) -> dict[str, int]:
    """The number of rows of each dataset by name, without reading them.

    Raises FileNotFoundError or StoreError.
    """
    with _opened(path) as file:
        return {name: len(dataset) for name, dataset in file.items()}


def intact(path: Path) -> bool:
    """Whether every byte of the file is as it was written.

    The file is read once, without HDF5. Raises FileNotFoundError.
    """
    with open(path, "rb") as raw:
        block = raw.read(SEAL_BYTES)
    return block == _seal(path)


def check(path: Path) -> None:
    """Raise StoreError, naming the file and what differs, where any byte of it is not as it was written.

    A whole file is read once, without HDF5: 0.9 s a gigabyte. Raises FileNotFoundError.
    """
    if not intact(path):
        verify(path)


def verify(path: Path) -> None:
    """Read everything and compare it with all digests.

    Raises FileNotFoundError, or StoreError naming the file, the dataset, and what differs.
    """
    with _opened(path) as file:
        for name, dataset in file.items():
            digest = _header(dataset.shape, dataset.dtype)
            for block in _blocks(dataset.shape, dataset.dtype):
                digest.update(np.ascontiguousarray(dataset[block]).data)
            recorded, found = dataset.attrs.get("sha256"), digest.hexdigest()
            if recorded != found:
                raise StoreError(f"{path}: dataset {name!r} has sha256 {found}, recorded is {recorded}")
        recorded, found = file.attrs.get("content"), _content_digest(file)
        if recorded != found:
            raise StoreError(f"{path}: attributes have digest {found}, recorded is {recorded}")
    if not intact(path):
        raise StoreError(
            f"{path}: bytes around the datasets were changed: the seal at the start of the file does not fit"
        )


def _seal(path: Path) -> bytes:
    """The user block of a file: a line with the digest of all bytes after the block, filled up with zeros."""
    with open(path, "rb") as raw:
        raw.seek(SEAL_BYTES)
        digest = hashlib.file_digest(raw, "sha256").hexdigest()
    return f"featpoison: sha256 of the bytes from {SEAL_BYTES} on is {digest}\n".encode().ljust(
        SEAL_BYTES, b"\0"
    )


def _write_array(file: h5py.File, where: str, name: str, array: np.ndarray | Rows) -> None:
    """Write one dataset and its digest, block by block. Raises StoreError beginning with `where`."""
    options: dict[str, Any] = {}
    if 0 not in array.shape:
        options = {"chunks": (_rows_of_chunk(array.shape, array.dtype), *array.shape[1:]), "fletcher32": True}
    # What is in memory is written at once: written in blocks, HDF5 would lay out the file in another way.
    held = None if isinstance(array, Rows) else array
    dataset = file.create_dataset(name, array.shape, array.dtype, data=held, track_times=False, **options)
    digest = _header(array.shape, array.dtype)
    for part in _blocks(array.shape, array.dtype):
        block = np.ascontiguousarray(array[part])
        if block.dtype.kind == "f" and not np.isfinite(block).all():
            raise StoreError(f"{where} holds NaN or infinity; nothing was written")
        if held is None:
            dataset[part] = block
        digest.update(block.data)
    dataset.attrs["sha256"] = digest.hexdigest()


def _dataset(file: h5py.File, path: Path, name: str) -> h5py.Dataset:
    if name not in file:
        raise StoreError(f"{path}: no dataset {name!r}; it holds {', '.join(file)}")
    return file[name]


def _rows_of_chunk(shape: tuple[int, ...], dtype: np.dtype) -> int:
    row = int(np.prod(shape[1:])) * dtype.itemsize
    return max(1, min(shape[0], CHUNK_BYTES // max(1, row)))


def _blocks(shape: tuple[int, ...], dtype: np.dtype) -> Iterator[slice]:
    """Slices of the rows, each as long as a chunk; none where the array has no values."""
    if 0 in shape:
        return
    step = _rows_of_chunk(shape, dtype)
    for start in range(0, shape[0], step):
        yield slice(start, min(start + step, shape[0]))


def _take(dataset: h5py.Dataset, rows: np.ndarray, where: str) -> np.ndarray:
    """What numpy gives for dataset[rows], for indices that HDF5 does not take, such as unsorted ones.

    Each chunk that holds wanted rows is read once, from the first of these rows to the last. Raises
    StoreError, beginning with `where`, for rows that are no integers (k,) or do not exist.
    """
    if rows.dtype.kind not in "iu" or rows.ndim != 1:
        raise StoreError(f"{where}: rows {rows.dtype} {rows.shape}, expected integers (k,)")
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(dataset):
        raise StoreError(
            f"{where} has {len(dataset)} rows, expected none of {rows.min()} to {rows.max()} beyond them"
        )
    result = np.empty((len(rows), *dataset.shape[1:]), dataset.dtype)
    if 0 in result.shape:
        return result
    length = dataset.chunks[0] if dataset.chunks else _rows_of_chunk(dataset.shape, dataset.dtype)
    order = np.argsort(rows, kind="stable")
    chunk = rows[order] // length
    borders = np.flatnonzero(np.diff(chunk)) + 1
    for places in np.split(order, borders):  # where in `rows` those of one chunk are, ascending
        wanted = rows[places]
        first, last = int(wanted[0]), int(wanted[-1])
        result[places] = dataset[first : last + 1][wanted - first]
    return result


def _header(shape: tuple[int, ...], dtype: np.dtype) -> "hashlib._Hash":
    """A new digest of an array that already covers its type and shape; its bytes have to be added."""
    return hashlib.sha256(canonical_json([dtype.str, list(shape)]).encode())


def _content_digest(file: h5py.File) -> str:
    """The digest over the digests of all datasets, and over all attributes but this digest itself."""
    datasets: Sequence[Any] = [[name, file[name].attrs.get("sha256")] for name in sorted(file)]
    attributes = [[key, file.attrs[key]] for key in sorted(file.attrs) if key != "content"]
    return sha256_bytes(canonical_json([datasets, attributes]).encode())


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """The file, open for reading; errors as in `_readable`."""
    with _readable(path), h5py.File(path, "r") as file:
        yield file


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what HDF5 raises over a damaged file into StoreError.

    Raises FileNotFoundError where there is none.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        yield
    except StoreError:
        raise
    except (OSError, RuntimeError, LookupError, TypeError, AttributeError, ValueError, MemoryError) as error:
        raise StoreError(f"{path}: damaged, HDF5 cannot read it: {error}") from error
