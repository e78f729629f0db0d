"""Gzip files whose contents are wanted whole."""

import gzip
import shutil
import zlib
from pathlib import Path

from featpoison.datasets.downloads import need_space

BLOCK = 1 << 20


def read(path: Path) -> bytes:
    """The contents. Raises ValueError naming the file where it is cut off, fails its checksum or is no gzip file."""
    try:
        with gzip.open(path) as file:
            return file.read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: damaged, expected a whole gzip file: {error}") from error


def unpack(path: Path, target: Path) -> None:
    """Write the contents to `target`, after looking for the space. Raises as `read`, and OSError where the disk is too full."""
    need_space(target.parent, unpacked_size(path), f"unpacking {path}")
    try:
        with gzip.open(path) as packed, open(target, "wb") as file:
            shutil.copyfileobj(packed, file, BLOCK)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: damaged, expected a whole gzip file: {error}") from error


def unpacked_size(path: Path) -> int:
    """Bytes of the contents, as the last four bytes tell modulo 2^32 (RFC 1952): the smallest such number that is not below the packed size.

    Short of 4 GiB of exactly one member it is exact; contents that gzip could not shrink count a few bytes less than their file.
    """
    packed = path.stat().st_size
    with open(path, "rb") as file:
        file.seek(max(0, packed - 4))
        rest = int.from_bytes(file.read(4), "little")
    overhead = 1024 + packed // 1000  # header and trailer, and five bytes for each block of 16 KiB that is stored as it is
    return rest + (max(0, packed - overhead - rest) + (1 << 32) - 1 >> 32 << 32)
