"""Deep k-NN: drop rows whose label is not the most frequent one among their nearest neighbours' (Peri et al.,
2020, https://arxiv.org/abs/1909.13374, section 3.2), in the frozen encoder's features.

The distance is Euclidean, a row is no neighbour of its own, and where labels tie, each of them counts as the
most frequent one. The authors advise a k of twice the rows of the largest class where poisons are many; with
k that large nothing is local, and here k is a setting.
"""

import torch
from pydantic import PositiveInt
from torch import Tensor

from featpoison.common.settings import Settings
from featpoison.defences.defence import Defence, Defended, Defending

BLOCK = 1024
"""Rows whose distances to all rows are held at once."""


class DeepKNN(Settings):
    """Settings of deep k-NN."""

    neighbours: PositiveInt = 50
    """k. With fewer rows than that, all other rows are neighbours."""


def votes(features: Tensor, labels: Tensor, k: int, classes: int) -> Tensor:
    """How many of the k nearest other rows have each label: features (n, d), labels (n,) -> (n, classes)."""
    k = min(k, len(features) - 1)
    found = []
    for rows in torch.arange(len(features)).split(BLOCK):
        distances = torch.cdist(features[rows], features)  # (b, n)
        distances[torch.arange(len(rows)), rows] = torch.inf
        nearest = labels[distances.topk(k, largest=False).indices]  # (b, k)
        found.append(torch.nn.functional.one_hot(nearest, classes).sum(1))
    return torch.cat(found)


def run(given: Defending) -> Defended:
    """The rows that their neighbours agree with."""
    features, labels = given.features.to(given.device), given.labels.to(given.device)
    counted = votes(features, labels, given.settings.neighbours, given.task.classes)
    agreed = counted.gather(1, labels[:, None]).squeeze(1) == counted.amax(1)
    return Defended(rows=torch.nonzero(agreed).squeeze(1).cpu())


DEFENCE = Defence(name="deep-knn", title="deep k-NN", settings=DeepKNN, run=run)
