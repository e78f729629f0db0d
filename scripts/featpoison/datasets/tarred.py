"""Files in tar archives, read into memory."""

import lzma
import tarfile
import zlib
from collections.abc import Container
from pathlib import Path

LARGEST = 1 << 30
"""Bytes of a member that is read, and half of what all of them may have: the largest of the data sets here,
STL-10's test images, has 221 MB. A small archive can hold any number of equal bytes."""


def read_members(path: Path, wanted: Container[str] | None = None) -> dict[str, bytes]:
    """The contents of the files in a tar archive by their base names; of those alone that are `wanted`.

    Any tar that Python opens will do (gz, xz, ...). Raises ValueError for what is no whole tar archive, and
    naming the member that is there twice or too large.
    """
    found: dict[str, bytes] = {}
    read = 0
    try:
        with tarfile.open(path) as archive:
            for entry in archive:
                name = Path(entry.name).name
                stream = archive.extractfile(entry) if entry.isfile() else None
                if stream is None or (wanted is not None and name not in wanted):
                    continue
                if name in found:
                    raise ValueError(f"member {name} is there twice, expected each file once")
                read += entry.size
                if entry.size > LARGEST or read > 2 * LARGEST:
                    sizes = f"{entry.size} bytes, {read} with those before it"
                    expected = f"expected at most {LARGEST} and {2 * LARGEST}"
                    raise ValueError(f"member {name} has {sizes}, {expected}")
                found[name] = stream.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"damaged, expected a whole tar archive: {error}") from error
    return found
