"""Norm filter: drop rows whose feature is much longer than usual.

It is the sphere defence of Steinhardt, Koh and Liang (2017, https://arxiv.org/abs/1706.03691), section 2, ||x
- c|| <= r, around c = 0, because features of a ReLU have their lengths in common and not a centre. No clean
data is trusted: r comes from the median and the median absolute deviation of all norms, poisons among them.
"""

import torch

from featpoison.defences.defence import Defence, Defended, Defending
from featpoison.defences.lengths import Lengths, longest_usual


class NormFilter(Lengths):
    """Settings of the norm filter."""


def run(given: Defending) -> Defended:
    """The rows of usual length."""
    radius = longest_usual(given.features, given.settings.deviations)
    kept = given.features.double().norm(dim=1) <= radius
    return Defended(rows=torch.nonzero(kept).squeeze(1), facts={"radius": radius})


DEFENCE = Defence(name="norm-filter", title="norm filter", settings=NormFilter, run=run)
