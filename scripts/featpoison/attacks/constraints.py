"""Sets that poisons are kept in: each has `project`, the nearest point of the set."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from featpoison.common.pixels import rounded_to_8bit


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
        return rounded_to_8bit(rows)


@dataclass(frozen=True)
class NoiseBall:
    """Noise of at most `radius` in every entry (L-infinity) that keeps `images` (n, 3, h, w) in the clean
    pixel range [0, 1].

    Both hold in the images' float arithmetic: the radius is rounded towards zero, and an image plus its noise
    never rounds out of the range.
    """

    radius: float
    images: Tensor

    def project(self, noise: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, 3, h, w), the nearest point: the set is a box."""
        radius = torch.tensor(self.radius, dtype=self.images.dtype)
        if radius.item() > self.radius:
            radius = torch.nextafter(radius, torch.zeros_like(radius))
        lowest, highest = (-self.images).clamp(min=-radius.item()), (1 - self.images).clamp(max=radius.item())
        return noise.clamp(lowest, highest)
