"""Sets that poisons are kept in: each has `project`, the nearest point of the set."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from featpoison.attacks.choices import Choice


class ConstraintSet(Protocol):
    """A set that rows are kept in."""

    def project(self, rows: Tensor) -> Tensor:
        """(n, ...) -> (n, ...), the nearest points of the set."""
        ...


@dataclass(frozen=True)
class NormBall:
    """Rows (features) whose L2 norm is at most `radius`, and of which, where `nonnegative`, no entry is
    negative."""

    radius: float
    nonnegative: bool = False

    def project(self, rows: Tensor) -> Tensor:
        """(n, d) -> (n, d); rows of the set are untouched.

        The set is a cone cut off by a ball around its tip, so that the projections to the two, in this order,
        are the projection to both.
        """
        rows = rows.clamp(min=0) if self.nonnegative else rows
        return rows * (self.radius / rows.norm(dim=1, keepdim=True)).clamp(max=1)


def features_allowed(choice: Choice, clean: Tensor) -> NormBall:
    """The set that a row of a table keeps poisoned features in; `clean` (N, d) are the clean training
    features.

    A norm cap counts in clean mean norms. The set `emittable` holds what an encoder can emit as far as this
    is known from its clean features: where none of them has a negative entry, because the encoder ends in a
    ReLU, no poisoned one has.
    """
    cap = math.inf if choice.norm_cap is None else choice.norm_cap
    nonnegative = choice.set == "emittable" and clean.min().item() >= 0
    return NormBall(cap * clean.norm(dim=1).mean().item(), nonnegative)


@dataclass(frozen=True)
class Box:
    """Entries between `low` and `high`: the range of the clean images; without bounds, everything."""

    low: float = -math.inf
    high: float = math.inf

    def project(self, rows: Tensor) -> Tensor:
        """(n, ...) -> (n, ...)."""
        return rows.clamp(self.low, self.high)


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
