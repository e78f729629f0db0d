"""The accuracy of heads.

Apart from the measures of poisons: clean heads have an accuracy before there is any attack, and an edit of
those measures should make no attack anew.
"""

import torch
from torch import Tensor

from featpoison.softmax import Head, logits


def accuracy(X: Tensor, labels: Tensor, omega: Tensor) -> Tensor:
    """The share of the test rows that each head classifies correctly, (...), float64, in [0, 1].

    X (n, d), labels (n,), omega (..., C, d+1) with the bias last. Logits are computed in the type of omega.
    """
    flat = omega.reshape(-1, *omega.shape[-2:])
    shares = [(logits(X.to(one), Head.from_omega(one)).argmax(-1) == labels).double().mean() for one in flat]
    return torch.stack(shares).reshape(omega.shape[:-2])
