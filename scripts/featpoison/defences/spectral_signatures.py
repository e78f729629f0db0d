"""Spectral signatures (Tran, Li and Madry, 2018, https://arxiv.org/abs/1811.00636, Algorithm 1): in each
class, drop the rows with the largest ((x - mean) . v)^2, v the top right singular vector of the class's
centred features.

The authors remove 1.5 times the poisons that they assume in a class; here the share that is removed is the
setting itself.
"""

import torch

from featpoison.defences.defence import Defence, Defended, Defending
from featpoison.defences.ranking import Ranking, least, removed_count, squared_projections


class SpectralSignatures(Ranking):
    """Settings of spectral signatures; the share is that of each class."""


def run(given: Defending) -> Defended:
    """Of each class the rows that stand out least."""
    kept = []
    for label in given.labels.unique():
        rows = torch.nonzero(given.labels == label).squeeze(1)
        scores = squared_projections(given.features[rows].to(given.device)).cpu()
        kept.append(rows[least(scores, removed_count(given.settings.share, len(rows)))])
    return Defended(rows=torch.cat(kept).sort().values)


DEFENCE = Defence(
    name="spectral-signatures", title="spectral signatures", settings=SpectralSignatures, run=run
)
