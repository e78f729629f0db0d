"""The steps of feature matching (feature_matching.py): Algorithm 1's own, and accelerated ones.

Both take the point at which they want grad F of each image, and images never interact. One forward-backward
step of size eta is nu <- nu - a grad F(nu), a = eta / (1 + eta beta).
"""

from typing import TypeVar

import torch
from torch import Tensor

from featpoison.common.schedules import half_cosine

Size = TypeVar("Size", float, Tensor)
PATIENCE = 10
"""Steps over which an image is watched before it may stop."""
RISE = 1.1
"""Times its lowest F at which an image's step is too long. Less, and the ripples of momentum shorten good
steps; more, and steps are wasted before one is shortened. From 1.03 to 1.2 the mean F after 100 steps differs
by 1 %."""


def rate(eta: Size, beta: float) -> Size:
    """a = eta / (1 + eta beta) of a step size eta."""
    return eta / (1 + eta * beta)


class Descent:
    """Algorithm 1: plain steps whose size half a cosine takes to zero."""

    def __init__(self, start: Tensor, step_size: float, beta: float, steps: int, tolerance: float) -> None:
        """From the images `start` (n, 3, h, w), in `steps` steps. An image is finished when what remains
        moves it by at most `tolerance` (L2): the bound is derived in feature_matching.py."""
        self.rates = [rate(step_size * half_cosine(step, steps), beta) for step in range(steps)]
        self.remaining = [sum(self.rates[step:]) for step in range(steps + 1)]
        self.tolerance, self.step = tolerance, 0
        self.point = start
        self.recent = start.new_zeros(PATIENCE, len(start))

    @property
    def found(self) -> Tensor:
        """The images so far (n, 3, h, w)."""
        return self.point

    def update(self, gradient: Tensor, F: Tensor) -> None:
        """Take a step, given grad F (n, 3, h, w) at `point`; F is not used."""
        self.recent[self.step % PATIENCE] = gradient.flatten(1).norm(dim=1)
        self.point = self.point - self.rates[self.step] * gradient
        self.step += 1

    def finished(self) -> Tensor:
        """Which images may stop (n,); it means something from PATIENCE steps on."""
        return self.recent.amax(0) * self.remaining[self.step] <= self.tolerance

    def keep(self, rows: Tensor) -> None:
        """Go on with the images of these rows (n,) bool."""
        self.point, self.recent = self.point[rows], self.recent[:, rows]


class Accelerated:
    """FISTA (Beck and Teboulle, SIAM Journal on Imaging Sciences, 2009) with the gradient-based restart of
    O'Donoghue and Candes (Foundations of Computational Mathematics, 2015), for each image.

    The image with the lowest F of all points counts: F of a deep encoder is not convex. How long a step may
    be differs between encoders and images by a factor of ten. So an image whose F rises to `RISE` times its
    lowest goes back to its best point, without momentum, and takes steps of half the length from then on.
    """

    def __init__(self, start: Tensor, step_size: float, beta: float, progress: float) -> None:
        """From the images `start` (n, 3, h, w), by steps of `step_size` at first. An image is finished when
        its lowest F fell by at most the share `progress` over the last PATIENCE steps, none of which was too
        long."""
        self.progress, self.step = progress, 0
        self.point = self.image = self.found = start
        self.momentum = start.new_ones(len(start), 1, 1, 1)
        self.step_size, self.beta = step_size * self.momentum, beta  # (n, 1, 1, 1)
        self.lowest = start.new_full((PATIENCE + 1, len(start)), torch.inf)  # a ring, by step

    def update(self, gradient: Tensor, F: Tensor) -> None:
        """Take a step, given grad F (n, 3, h, w) and F (n,) at `point`."""
        before = self.lowest[(self.step - 1) % (PATIENCE + 1)]
        self.found = torch.where((before > F).view(-1, 1, 1, 1), self.point, self.found)
        self.lowest[self.step % (PATIENCE + 1)] = torch.minimum(before, F)
        image = self.point - rate(self.step_size, self.beta) * gradient
        moved = image - self.image
        uphill = ((gradient * moved).sum((1, 2, 3)) > 0).view(-1, 1, 1, 1)
        last = self.momentum.masked_fill(uphill, 1)
        momentum = (1 + (1 + 4 * last.square()).sqrt()) / 2
        point = image + (last - 1) / momentum * moved  # after a restart last = 1: a plain step
        back = (RISE * before < F).view(-1, 1, 1, 1)
        self.point = torch.where(back, self.found, point)
        self.image = torch.where(back, self.found, image)
        self.momentum = momentum.masked_fill(back, 1)
        self.step_size = torch.where(back, self.step_size / 2, self.step_size)
        # While a step is too long, F does not fall: that is no reason to stop.
        others = torch.arange(PATIENCE + 1, device=F.device) != self.step % (PATIENCE + 1)
        self.lowest.masked_fill_(others.unsqueeze(1) & back.flatten(), torch.inf)
        self.step += 1

    def finished(self) -> Tensor:
        """Which images may stop (n,); it means something from PATIENCE steps on."""
        now, earlier = (self.lowest[(self.step - back) % (PATIENCE + 1)] for back in (1, PATIENCE + 1))
        return earlier - now <= self.progress * now

    def keep(self, rows: Tensor) -> None:
        """Go on with the images of these rows (n,) bool."""
        self.point, self.image, self.found = self.point[rows], self.image[rows], self.found[rows]
        self.momentum, self.step_size = self.momentum[rows], self.step_size[rows]
        self.lowest = self.lowest[:, rows]
