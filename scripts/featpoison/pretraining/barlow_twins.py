"""The loss of Barlow Twins (Zbontar et al., 2021, https://arxiv.org/abs/2103.03230): a second one beside
SimCLR's, to see whether an attack on pre-training depends on the loss.

With z and z' the projections of two views of n images, each dimension centred over the batch,

    C_ij = sum_b z_bi z'_bj / ( sqrt(sum_b z_bi^2) sqrt(sum_b z'_bj^2) )                         (eq. 2)
    L = sum_i (1 - C_ii)^2 + lambda sum_i sum_{j != i} C_ij^2                                    (eq. 1)

The first term pulls the two views of an image together, as NT-Xent does. What keeps all images from becoming
one is not that others are pushed away: no two images are ever compared. It is that dimensions may not repeat
each other. Views, network, projection head and optimiser are SimCLR's here, so that the loss is all that
differs; the publication has a wider projection head and the LARS optimiser.
"""

import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor

from featpoison.common.settings import Settings


class BarlowTwins(Settings):
    """Settings of the loss of Barlow Twins."""

    redundancy: PositiveFloat = 0.005
    """lambda, the weight of the correlations between dimensions (publication: 0.005)."""


def barlow_twins(first: Tensor, second: Tensor, settings: BarlowTwins) -> Tensor:
    """The loss of Barlow Twins (eq. 1), a sum over pairs of the p dimensions, ().

    Rows i of `first` and `second`, (n, p) each, are the projections of two views of image i. A dimension that
    is the same for all images correlates with none.
    """
    one, two = (F.normalize(views - views.mean(0), dim=0) for views in (first.float(), second.float()))
    correlations = one.T @ two  # (p, p)
    own = correlations.diagonal()
    others = correlations.square().sum() - own.square().sum()
    return (1 - own).square().sum() + settings.redundancy * others
