"""How long a feature may be before it is an outlier, said by the training set itself."""

import torch
from pydantic import PositiveFloat
from torch import Tensor

from featpoison.common.settings import Settings

CONSISTENCY = 1.4826
"""Times the median absolute deviation is the standard deviation of a normal distribution."""


class Lengths(Settings):
    """Settings of a defence against long features."""

    deviations: PositiveFloat = 3.0
    """The longest feature that counts as usual: the median of all norms plus so many standard deviations,
    which are estimated from the median absolute deviation."""


def longest_usual(features: Tensor, deviations: float) -> float:
    """median + deviations * 1.4826 MAD of the norms of features (n, d). Less than half of the rows, whatever
    they are, can move it only so far (Hampel, 1974)."""
    norms = features.double().norm(dim=1)
    median = norms.quantile(0.5)
    spread = CONSISTENCY * (norms - median).abs().quantile(0.5)
    return float(median + deviations * spread)


def clipped(features: Tensor, radius: float) -> Tensor:
    """Each row of features (n, d) projected to the ball of this radius: x min(1, radius / ||x||)."""
    norms = features.norm(dim=1, keepdim=True).clamp(min=torch.finfo(features.dtype).tiny)
    return features * (radius / norms).clamp(max=1)
