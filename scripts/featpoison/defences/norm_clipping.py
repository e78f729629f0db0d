"""Norm clipping: shorten features that are much longer than usual, of training and of test rows alike.

x min(1, r / ||x||) is the projection to the ball that the norm filter (`norm_filter.py`) keeps: a poison
stays, but weighs no more in the head's gradient (p - y) x^T than a long clean row. Clipping what a model is
trained on is an old defence in robust aggregation (Sun et al., 2019, https://arxiv.org/abs/1911.07963,
section 4, there of updates).
"""

from featpoison.defences.defence import Defence, Defended, Defending
from featpoison.defences.lengths import Lengths, clipped, longest_usual


class NormClipping(Lengths):
    """Settings of norm clipping."""


def run(given: Defending) -> Defended:
    """All rows, none of them long."""
    radius = longest_usual(given.features, given.settings.deviations)
    train, test = (clipped(rows, radius) for rows in (given.features, given.task.test))
    return Defended(train=train, test=test, facts={"radius": radius})


DEFENCE = Defence(name="norm-clipping", title="norm clipping", settings=NormClipping, run=run)
