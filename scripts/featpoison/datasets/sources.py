"""The data sets of a configuration, and how each is read, according to the format of its archives."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from featpoison.common.settings import Settings
from featpoison.datasets import (
    cifar,
    eurosat,
    fashion_mnist,
    image_folder,
    optical_digits,
    patch_camelyon,
    stl10,
    tiny_imagenet,
)
from featpoison.datasets.downloads import DigestError, Source, obtain
from featpoison.datasets.images import Images, random_rows
from featpoison.records.provenance import ROOT, sha256_file

Format = Literal[
    "cifar-10-binary",
    "cifar-100-binary",
    "fashion-mnist",
    "patch-camelyon",
    "tiny-imagenet-200",
    "stl-10-binary",
    "eurosat",
    "optical-digits",
    "image-folder",
]
ARCHIVES = {"fashion-mnist": fashion_mnist.FILES, "patch-camelyon": patch_camelyon.FILES}
CIFAR = {"cifar-10-binary": cifar.cifar10, "cifar-100-binary": cifar.cifar100}
RESIZED = ("tiny-imagenet-200", "image-folder")
SIDED = {
    "stl-10-binary": stl10.read_archive,
    "eurosat": eurosat.read_archive,
    "optical-digits": optical_digits.read_archive,
}
READ_IN_PART = ("patch-camelyon", "image-folder")
RESIZABLE = (*RESIZED, "patch-camelyon", *SIDED)


class Dataset(Settings):
    """A data set: its archives, their format, and the digests of their members."""

    format: Format
    """How the archives are read."""
    archive: Source | None = None
    """The archive, where there is only one. For image-folder, a source whose `path` is the folder of
    `train/CLASS/*.png` and `test/CLASS/*.png`, and whose `sha256` is that of the `sha256sum` lines of all
    images, sorted by path (the log of the first use prints it)."""
    archives: dict[str, Source] = Field(default_factory=dict)
    """The archives, where there are several. fashion-mnist: train_images, train_labels, test_images,
    test_labels; patch-camelyon: train_x, train_y, test_x, test_y."""
    members: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = Field(default_factory=dict)
    """SHA-256 of the archive's members by base name (CIFAR only)."""
    side: Annotated[int, Field(ge=4, le=1024)] | None = None
    """Side in pixels to which images are averaged: required for tiny-imagenet-200 and image-folder, possible
    for patch-camelyon and stl-10-binary (where the default is 96), eurosat (64) and optical-digits (8)."""
    train_images: PositiveInt | None = None
    """Take only so many training images, chosen uniformly at random; null: all. The test set stays whole."""
    validation_images: PositiveInt | None = None
    """Take so many of the other training images in place of the test set, so that settings can be chosen
    without it; null: the test set. Goes together with `train_images`."""
    seed: NonNegativeInt | None = None
    """Seed of these choices; goes together with `train_images`."""

    @model_validator(mode="after")
    def _fits_format(self) -> Self:
        expected = ARCHIVES.get(self.format, ())
        if (self.archive is not None) == bool(expected):
            raise ValueError(
                f"'archive' is {'given' if self.archive else 'missing'}, "
                f"expected {'archives' if expected else 'it'} for {self.format}"
            )
        if set(self.archives) != set(expected):
            raise ValueError(
                f"'archives' are {sorted(self.archives)}, expected {sorted(expected)} for {self.format}"
            )
        if self.side is None and self.format in RESIZED:
            raise ValueError(f"'side' is required for {self.format}")
        if self.side is not None and self.format not in RESIZABLE:
            raise ValueError(
                f"'side' is {self.side}, expected none for {self.format}: its images keep their 32 px"
            )
        if self.members and self.format not in CIFAR:
            raise ValueError(f"'members' are checked for {', '.join(CIFAR)} alone")
        if (self.train_images is None) != (self.seed is None):
            raise ValueError("'train_images' and 'seed' go together")
        if self.validation_images is not None and self.train_images is None:
            raise ValueError(f"'validation_images' is {self.validation_images}, expected 'train_images' too")
        if self.validation_images is not None and self.format in READ_IN_PART:
            raise ValueError(
                f"'validation_images' is {self.validation_images}, expected none for {self.format}: "
                "images that are not chosen are not read"
            )
        if self.format == "image-folder" and self.archive is not None:
            given = sorted(key for key in self.archive.model_fields_set if getattr(self.archive, key))
            if "path" not in given or not {"path", "sha256"}.issuperset(given):
                raise ValueError(
                    f"'archive' has {given}, "
                    "expected 'path', a folder, and perhaps 'sha256', for image-folder"
                )
        return self

    @property
    def sources(self) -> list[Source]:
        """All archives."""
        return [self.archive] if self.archive else [self.archives[name] for name in sorted(self.archives)]

    @property
    def local_files(self) -> list[str]:
        """The archives that lie in the repository; of an image folder, its images."""
        paths = [source.path for source in self.sources if source.path]
        if self.format != "image-folder":
            return paths
        return [
            str(Path(path) / picture.relative_to(ROOT / path))
            for path in paths
            for picture in image_folder.files(ROOT / path)
        ]

    def choose(self, available: int) -> np.ndarray:
        """Sorted indices (n,) of the training images to take, out of `available`.

        Raises ValueError where there are too few.
        """
        if self.train_images is None or self.seed is None:
            return np.arange(available)
        return random_rows(available, self.train_images, self.seed)


def load(dataset: Dataset, folder: Path) -> tuple[Images, dict[str, Any]]:
    """The images of `dataset`, and facts for the provenance: digests of its archives, and whether they are
    verified.

    `folder` is where downloads are put. Raises DigestError where archives or members differ from the
    configuration, or where nothing could verify an archive of a mirror; ValueError naming the archive that is
    not of its format; OSError where a download fails.
    """
    if dataset.format == "image-folder":
        (source,) = dataset.sources
        path = ROOT / str(source.path)
        try:
            images = image_folder.read_folder(path, dataset.side or 0, dataset.choose)
        except ValueError as error:
            raise ValueError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
        return images, {"archive": image_folder.check(path, source.sha256), "verified": source.published}
    verified = bool(dataset.members) or all(source.published for source in dataset.sources)
    if dataset.archive is None:
        paths = {name: _obtain(source, folder, dataset) for name, source in sorted(dataset.archives.items())}
        facts = {"archives": {name: sha256_file(path) for name, path in paths.items()}, "verified": verified}
        if dataset.format == "patch-camelyon":
            return patch_camelyon.read_archives(paths, folder, dataset.side, dataset.choose), facts
        return _chosen(dataset, fashion_mnist.read_archives(paths)), facts
    path = _obtain(dataset.archive, folder, dataset)
    facts = {"archive": sha256_file(path), "verified": verified}
    try:
        if dataset.format == "tiny-imagenet-200":
            return _chosen(dataset, tiny_imagenet.read_archive(path, dataset.side or 0)), facts
        if dataset.format in SIDED:
            return _chosen(dataset, SIDED[dataset.format](path, dataset.side)), facts
        files, facts["members"] = cifar.read_archive(path, dataset.members)
        return _chosen(dataset, CIFAR[dataset.format](files)), facts
    except DigestError:
        raise
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _obtain(source: Source, folder: Path, dataset: Dataset) -> Path:
    """The path of a source's file. Raises DigestError where no digest could verify what a mirror has."""
    path, pinned = obtain(source, folder)
    if not pinned and not dataset.members:
        raise DigestError(
            f"{path}: a repackaged archive, and the configuration has no digests of its members"
        )
    return path


def _chosen(dataset: Dataset, images: Images) -> Images:
    """The data set with only the images that the configuration asks for."""
    if dataset.train_images is None:
        return images
    rows = dataset.choose(len(images.train_images))
    chosen = images.with_training_rows(rows)
    if dataset.validation_images is None:
        return chosen
    rest = images.with_training_rows(np.setdiff1d(np.arange(len(images.train_images)), rows))
    if dataset.validation_images > (left := len(rest.train_images)):
        raise ValueError(f"'validation_images' is {dataset.validation_images}, expected at most {left}")
    held_out = rest.with_training_rows(random_rows(left, dataset.validation_images, dataset.seed or 0))
    return replace(chosen, test_images=held_out.train_images, test_labels=held_out.train_labels)
