"""The data sets by the format of their archive."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from featpoison.datasets import cifar, tiny_imagenet
from featpoison.datasets.images import Images
from featpoison.downloads import DigestError, Source, obtain
from featpoison.provenance import sha256_file
from featpoison.settings import Settings


class Dataset(Settings):
    """A data set: its archive, the archive's format, and the digests of its members."""

    format: Literal["cifar-10-binary", "tiny-imagenet-200"]
    """How the archive is read."""
    archive: Source
    """The archive."""
    members: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of the archive's members by base name (CIFAR)."""
    side: PositiveInt | None = None
    """Side in pixels to which images are averaged (tiny-imagenet-200 only, where it is required)."""

    @model_validator(mode="after")
    def _fits_format(self) -> Self:
        if (self.side is not None) != (self.format == "tiny-imagenet-200"):
            raise ValueError("'side' is required for tiny-imagenet-200 and for nothing else")
        if self.members and self.format == "tiny-imagenet-200":
            raise ValueError("'members' are checked for cifar-10-binary alone")
        return self


def load(dataset: Dataset, folder: Path) -> tuple[Images, Path, dict[str, Any]]:
    """Images of `dataset`, the local archive that they came from, and what is known of its digests (for the provenance).

    Raises DigestError where archive or members differ from the configuration, or where nothing could verify a repackaged archive.
    """
    path, pinned = obtain(dataset.archive, folder)
    if not pinned and not dataset.members:
        raise DigestError(f"{path}: a repackaged archive, and the configuration has no digests of its members")
    facts: dict[str, Any] = {"archive": sha256_file(path), "verified": bool(dataset.members) or dataset.archive.sha256 is not None}
    if dataset.side is not None:
        return tiny_imagenet.read_archive(path, dataset.side), path, facts
    files, facts["members"] = cifar.read_archive(path, dataset.members)
    return cifar.cifar10(files), path, facts
