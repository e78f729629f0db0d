"""Writing files so that each of them appears whole or not at all."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class NotWritten(OSError):
    """The disk is full, or the folder cannot be written to.

    The message names the file that was to be made.
    """


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`; what is written there replaces `path` when the block ends.

    When the block fails, the temporary file is removed and `path` stays as it was. Raises NotWritten where
    the disk is full or the folder cannot be written to. A process that is killed leaves its temporary file
    behind. Nothing ever reads that file; its name ends in .part, or in .part and the ending of `path`.
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
            error.errno,
            f"{path}: not written ({reason}); "
            "what was there before is as it was, and a new run goes on from there",
        ) from error
    finally:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)


def _concerns(name: str | os.PathLike | None, temporary: Path) -> bool:
    """Whether a failed call was about the temporary file or one of its folders.

    `name` is the file in its error. A failed write names none; a failed call on another file names that one.
    """
    return name is None or Path(name).name.startswith(temporary.stem) or Path(name) in temporary.parents


class Outlasting(io.FileIO):
    """A file for HDF5 that keeps its first error in writing to itself, and drops what is written after it.

    HDF5 cannot close a file when it fails to write what it has cached, and crashes the process at its end. It
    must therefore not see the error. `outlasting` raises it once HDF5 is done.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all bytes of `data`, or keep the error. Returns the length of `data` either way."""
        rest = memoryview(data).cast("B")
        length = len(rest)
        while len(rest) and self.error is None:
            try:
                rest = rest[super().write(rest) or 0 :]
            except OSError as error:
                self.error = error
        return length

    def truncate(self, size: int | None = None) -> int:
        """Set the length of the file in bytes, or keep the error. Returns the length."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0


@contextmanager
def outlasting(path: Path) -> Iterator[Outlasting]:
    """Gives a new file at `path`.

    The first error in writing to it is raised when the block ends, as OSError.
    """
    with Outlasting(path, "w+") as file:
        try:
            yield file
        finally:
            if file.error is not None:
                raise file.error
