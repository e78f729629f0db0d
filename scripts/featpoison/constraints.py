"""Sets that poisons are kept in: each has `project`, the nearest point of the set."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class NormBall:
    """Rows (features) whose L2 norm is at most `radius`."""

    radius: float

    def project(self, rows: Tensor) -> Tensor:
        """(n, d) -> (n, d); shorter rows are untouched."""
        return rows * (self.radius / rows.norm(dim=1, keepdim=True)).clamp(max=1)


@dataclass(frozen=True)
class NoiseBall:
    """Noise of at most `radius` in every entry (L-infinity) that keeps `images` (n, 3, h, w) in the clean pixel range [0, 1].

    Both hold in the images' float arithmetic: the radius is rounded towards zero, and an image plus its noise never rounds out of the range.
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
