"""Files that appear whole or not at all."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class NotWritten(OSError):
    """The disk is full, or the folder cannot be written to; the message names the file that was to be made."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; it takes the place of `path` when the block ends, and is removed when the block fails.

    Where the disk is full or the folder cannot be written to, raises NotWritten. A process that is killed leaves its
    temporary file, which nothing ever reads: its name ends in .part, or in .part and the ending of `path`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if isinstance(error, NotWritten) or error.errno is None or not _concerns(error.filename, temporary):
            raise
        reason = os.strerror(error.errno)
        raise NotWritten(
            error.errno, f"{path}: not written ({reason}); what was there before is as it was, and a new run goes on from there"
        ) from error
    finally:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)


def _concerns(name: str | os.PathLike | None, temporary: Path) -> bool:
    """Whether a failed call was about the temporary file or its folders. Writing says no name; reading something else does."""
    return name is None or Path(name).name.startswith(temporary.stem) or Path(name) in temporary.parents


class Outlasting(io.FileIO):
    """A file that remembers its first error in writing and lets its writer go on as if there were none, to the bit bucket.

    For HDF5: where it cannot write what it has cached, it cannot close the file either, and crashes the process when that ends.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of `data`, or remember why not."""
        rest = memoryview(data).cast("B")
        length = len(rest)
        while len(rest) and self.error is None:
            try:
                rest = rest[super().write(rest) or 0 :]
            except OSError as error:
                self.error = error
        return length

    def truncate(self, size: int | None = None) -> int:
        """Set the length, or remember why not."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0


@contextmanager
def outlasting(path: Path) -> Iterator[Outlasting]:
    """A new file at `path` whose errors in writing are raised when the block ends."""
    with Outlasting(path, "w+") as file:
        try:
            yield file
        finally:
            if file.error is not None:
                raise file.error
