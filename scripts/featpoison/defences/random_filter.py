"""Random filter: drop rows by chance. The lower end of all filters of its size: what the loss of rows costs
by itself."""

import torch

from featpoison.common.seeds import stream
from featpoison.defences.defence import Defence, Defended, Defending
from featpoison.defences.ranking import Ranking, least, removed_count


class RandomFilter(Ranking):
    """Settings of the random filter."""


def run(given: Defending) -> Defended:
    """A random choice of rows, by the poison seed."""
    scores = torch.rand(len(given.labels), generator=stream(given.seed, device=torch.device("cpu")))
    return Defended(rows=least(scores, removed_count(given.settings.share, len(scores))))


DEFENCE = Defence(name="random-filter", title="random filter", settings=RandomFilter, run=run)
