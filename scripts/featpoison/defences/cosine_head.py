"""Normalised features: the head sees directions alone, s x / ||x||, of training and of test rows.

Logits are then s ||w_k|| cos(w_k, x) + b_k, those of a cosine classifier (Gidaris and Komodakis, 2018,
https://arxiv.org/abs/1804.09458, eq. 3). s is the median norm of the training set, so that the victims' step
sizes mean what they do without the defence.
"""

import torch
from torch import Tensor

from featpoison.common.settings import Settings
from featpoison.defences.defence import Defence, Defended, Defending


class CosineHead(Settings):
    """There is nothing to set."""


def usual_length(features: Tensor) -> float:
    """s, the median norm of features (n, d)."""
    return features.norm(dim=1).median().item()


def normalised(features: Tensor, scale: float) -> Tensor:
    """scale x / ||x|| for each row of features (n, d); a row of zeros stays."""
    norms = features.norm(dim=1, keepdim=True).clamp(min=torch.finfo(features.dtype).tiny)
    return features * (scale / norms)


def run(given: Defending) -> Defended:
    """All rows, of one length."""
    scale = usual_length(given.features)
    train, test = (normalised(rows, scale) for rows in (given.features, given.task.test))
    return Defended(train=train, test=test, facts={"scale": scale})


DEFENCE = Defence(name="cosine-head", title="normalised features", settings=CosineHead, run=run)
