"""Activation clustering (Chen et al., 2018, https://arxiv.org/abs/1811.03728): split each class in two by
2-means on its first principal components, and drop the smaller part where it is small.

Of the authors' three ways to tell a poisoned cluster this is the comparison of sizes (section 4.2). They
reduce dimensions by independent components; principal components span the same space, and are no iteration
that may not converge.
"""

import numpy as np
import torch
from pydantic import Field, PositiveInt
from scipy.cluster.vq import kmeans2
from torch import Tensor

from featpoison.common.settings import Settings
from featpoison.defences.defence import Defence, Defended, Defending


class ActivationClustering(Settings):
    """Settings of activation clustering."""

    components: PositiveInt = 10
    """Dimensions that clusters are looked for in."""
    largest: float = Field(0.35, gt=0, lt=0.5)
    """A cluster with a larger share of its class than this is no poison."""


def small_cluster(features: Tensor, components: int, largest: float) -> np.ndarray:
    """Which rows of one class's features (n, d) are in a cluster with at most the share `largest` of them,
    bool (n,)."""
    if len(features) < 3:
        return np.zeros(len(features), bool)
    centred = features.double() - features.double().mean(0)
    left, sizes, _ = torch.linalg.svd(centred, full_matrices=False)
    reduced = (left * sizes)[:, :components].cpu().numpy()
    # a sign that does not depend on the library, so that the clusters repeat
    reduced *= np.sign(reduced[np.abs(reduced).argmax(0), np.arange(reduced.shape[1])])
    _, cluster = kmeans2(reduced, 2, minit="++", rng=np.random.default_rng(0), missing="warn")
    smaller = cluster == (cluster.mean() < 0.5)
    return smaller & (smaller.mean() <= largest)


def run(given: Defending) -> Defended:
    """All rows but those in small clusters."""
    dropped = torch.zeros(len(given.labels), dtype=torch.bool)
    for label in given.labels.unique():
        rows = given.labels == label
        found = small_cluster(
            given.features[rows].to(given.device), given.settings.components, given.settings.largest
        )
        dropped[rows] = torch.from_numpy(found)
    return Defended(rows=torch.nonzero(~dropped).squeeze(1))


DEFENCE = Defence(
    name="activation-clustering", title="activation clustering", settings=ActivationClustering, run=run
)
