"""Reading gzip files as a whole."""

import gzip
import shutil
import zlib
from pathlib import Path

from featpoison.datasets.downloads import need_space

BLOCK = 1 << 20  # bytes
LARGEST = 1 << 30  # bytes that are read into memory
MODULUS = 1 << 32


def read(path: Path) -> bytes:
    """The contents. Raises ValueError, naming the file, where it is cut off, damaged, no gzip file or too
    large."""
    try:
        with gzip.open(path) as file:
            content = file.read(LARGEST + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: damaged, expected a whole gzip file: {error}") from error
    if len(content) > LARGEST:
        raise ValueError(f"{path}: unpacked more than {LARGEST} bytes, expected at most as many")
    return content


def unpack(path: Path, target: Path) -> None:
    """Write the contents to `target`, once there is space for them.

    Raises OSError where the disk has too little space, and else as `read`.
    """
    need_space(target.parent, unpacked_size(path), f"unpacking {path}")
    try:
        with gzip.open(path) as packed, open(target, "wb") as file:
            shutil.copyfileobj(packed, file, BLOCK)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: damaged, expected a whole gzip file: {error}") from error


def unpacked_size(path: Path) -> int:
    """Bytes of the contents, computed from the file's size and its last four bytes.

    These four bytes are the size of the contents modulo 2^32 (RFC 1952). gzip adds little to what it cannot
    shrink, so the contents cannot be much smaller than the file, and the smallest possible size is returned.
    It is right for one member of contents below 4 GiB.
    """
    packed = path.stat().st_size
    with open(path, "rb") as file:
        file.seek(max(0, packed - 4))
        remainder = int.from_bytes(file.read(4), "little")
    # The file is larger than its contents by a header, a trailer, and 5 bytes for 16 KiB that do not shrink.
    overhead = 1024 + packed // 1000
    missing = max(0, packed - overhead - remainder)
    times = -(-missing // MODULUS)  # how often the modulus is at least contained, rounded up
    return remainder + times * MODULUS
