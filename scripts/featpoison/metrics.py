"""What is measured: accuracy, magnitudes, image similarity."""

import torch
from torch import Tensor

from featpoison.softmax import Head, logits


def accuracy(X: Tensor, labels: Tensor, omega: Tensor) -> Tensor:
    """Share of rows classified correctly by each head, float64: X (n, d), labels (n,), omega (..., C, d+1) -> (...)."""
    flat = omega.reshape(-1, *omega.shape[-2:])
    shares = [(logits(X.to(one), Head.from_omega(one)).argmax(-1) == labels).double().mean() for one in flat]
    return torch.stack(shares).reshape(omega.shape[:-2])


def magnitude_ratio(poisons: Tensor, clean: Tensor) -> float:
    """Mean L2 norm of the poisoned rows over that of the clean rows, (n, d) and (N, d)."""
    return (poisons.double().norm(dim=1).mean() / clean.double().norm(dim=1).mean()).item()


def psnr(images: Tensor, reference: Tensor) -> float:
    """Peak signal-to-noise ratio in decibels, from the mean squared error over all pixels; both (n, 3, h, w) with a range of 1."""
    return -10 * (images.double() - reference.double()).square().mean().log10().item()
