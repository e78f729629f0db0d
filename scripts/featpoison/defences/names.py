"""The defences by name. A name is that of the defence's file, with `_` for `-`."""

import importlib

from featpoison.defences.defence import Defence

NAMES = (
    "magnitude-filter",
    "norm-filter",
    "norm-clipping",
    "cosine-head",
    "deep-knn",
    "spectral-signatures",
    "activation-clustering",
    "sever",
    "trimmed-loss",
    "median-of-means",
    "holdout-ridge",
    "blur",
    "jpeg",
    "crop-average",
    "random-filter",
    "oracle-filter",
)
NONE = "none"
"""The segment of paths that stands for no defence."""


def module_of(name: str) -> str:
    """The module that says everything about a defence. Raises ValueError for an unknown name."""
    if name not in NAMES:
        raise ValueError(f"defence {name!r} is unknown, expected one of {', '.join(NAMES)}")
    return f"featpoison.defences.{name.replace('-', '_')}"


def load(name: str) -> Defence:
    """The defence of a name. Raises ValueError for an unknown one."""
    return importlib.import_module(module_of(name)).DEFENCE


def load_all() -> dict[str, Defence]:
    """All defences by name."""
    return {name: load(name) for name in NAMES}
