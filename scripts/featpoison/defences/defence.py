"""What a defence says of itself: the part of the system that stands between poisons and victims."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from featpoison.common.settings import Settings

Need = Literal["images", "features"]
"""A file that a defence reads beside the poisons: the clean images, the feature cache."""


@dataclass(frozen=True)
class Defending:
    """What a program hands to a defence."""

    settings: Any
    """Of the defence's own class."""
    poisons: Mapping[str, np.ndarray]
    """The arrays of a poison file."""
    files: Mapping[str, Path]
    """By need."""


@dataclass(frozen=True)
class Kept:
    """The rows of the poisons that the defence lets pass (k,), in order, and what it says of itself."""

    rows: np.ndarray
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Defence:
    """A defence that removes poisons before training."""

    name: str
    title: str
    """As tables show it."""
    settings: type[Settings]
    needs: tuple[Need, ...]
    run: Callable[[Defending], Kept]
    of_images: bool = True
    """Whether it looks at images, so that attacks on features have nothing to show it."""

    @property
    def key(self) -> str:
        """Key of the configuration's `defences`."""
        return self.name.replace("-", "_")
