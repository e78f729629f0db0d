"""Writing what people look at: the file, and its provenance beside it."""

from collections.abc import Callable, Iterable
from pathlib import Path

from featpoison.common.files import replacing
from featpoison.records import provenance
from featpoison.records.provenance import Record


def write(paths: Iterable[Path], record: Record, make: Callable[[Path], None]) -> None:
    """`make` writes the content to a temporary path of the same ending, once for each of `paths`; file and
    sidecar then appear."""
    for path in paths:
        with replacing(path) as temporary:
            named = temporary.with_name(temporary.name + path.suffix)  # matplotlib goes by the ending
            try:
                make(named)
                named.replace(temporary)
            finally:
                named.unlink(missing_ok=True)
            # Here: where there is no space for it, the earlier file and record stay.
            provenance.write_sidecar(path, record, temporary)


def write_text(path: Path, record: Record, text: str) -> None:
    """Write a text with its provenance beside it."""

    def make(temporary: Path) -> None:
        temporary.write_text(text)

    write([path], record, make)
