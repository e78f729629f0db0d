"""Sets that poisons are kept in: each has `project`, the nearest point of the set."""

import math
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class ConstraintSet(Protocol):
    """A set that rows are kept in."""

    def project(self, rows: Tensor) -> Tensor:
        """(n, ...) -> (n, ...), the nearest points of the set."""
        ...


@dataclass(frozen=True)
class NormBall:
    """Rows (features) whose L2 norm is at most `radius`."""

    radius: float

    def project(self, rows: Tensor) -> Tensor:
        """(n, d) -> (n, d); shorter rows are untouched."""
        return rows * (self.radius / rows.norm(dim=1, keepdim=True)).clamp(max=1)


@dataclass(frozen=True)
class Box:
    """Entries between `low` and `high`: the range of the clean images; without bounds, everything."""

    low: float = -math.inf
    high: float = math.inf

    def project(self, rows: Tensor) -> Tensor:
        """(n, ...) -> (n, ...)."""
        return rows.clamp(self.low, self.high)


@dataclass(frozen=True)
class EightBit:
    """Images that a file of 8 bits a channel can hold: multiples of 1/255 in [0, 1]."""

    def project(self, rows: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, 3, h, w)."""
        return (rows.clamp(0, 1) * 255).round() / 255
