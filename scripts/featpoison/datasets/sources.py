"""The data sets by the format of their archive."""

from pathlib import Path
from typing import Literal

from featpoison.datasets import cifar
from featpoison.datasets.images import Images
from featpoison.downloads import DigestError, Source, obtain
from featpoison.provenance import sha256_file
from featpoison.settings import Settings


class Dataset(Settings):
    """A data set: its archive, the archive's format, and the digests of its members."""

    format: Literal["cifar-10-binary"]
    """How the archive is read."""
    archive: Source
    """The archive."""
    members: dict[str, str] = {}
    """SHA-256 of the archive's members by base name."""


def load(dataset: Dataset, folder: Path) -> tuple[Images, Path, dict[str, str | bool | None]]:
    """Images of `dataset`, the local archive that they came from, and what is known of its digests (for the provenance).

    Raises DigestError where archive or members differ from the configuration, or where nothing could verify a repackaged archive.
    """
    path, pinned = obtain(dataset.archive, folder)
    if not pinned and not dataset.members:
        raise DigestError(f"{path}: a repackaged archive, and the configuration has no digests of its members")
    files, members = cifar.read_archive(path, dataset.members)
    verified = bool(dataset.members) or (pinned and dataset.archive.sha256 is not None)
    return cifar.cifar10(files), path, {"archive": sha256_file(path), "members": members, "verified": verified}
