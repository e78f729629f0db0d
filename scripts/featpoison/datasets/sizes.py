"""The sizes of data sets whose archives are not here yet. No step that reads images imports this."""

from featpoison.datasets.sources import Dataset

OFFICIAL_SIZES = {
    "cifar-10-binary": (50_000, 10_000, 32, 10),
    "cifar-100-binary": (50_000, 10_000, 32, 100),
    "fashion-mnist": (60_000, 10_000, 32, 10),
    "patch-camelyon": (262_144, 32_768, 96, 2),
    "tiny-imagenet-200": (100_000, 10_000, 64, 200),
    "stl-10-binary": (5_000, 8_000, 96, 10),
    "eurosat": (21_600, 5_400, 64, 10),
    "optical-digits": (1_300, 497, 8, 10),
}
"""Training images, test images, side, classes: by format."""


def side_of(dataset: Dataset) -> int:
    """Side in pixels of the images of a data set, as the configuration declares it."""
    return dataset.side or OFFICIAL_SIZES[dataset.format][2]
