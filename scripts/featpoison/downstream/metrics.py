"""What is measured: accuracy, magnitudes, likeness of images."""

import torch
from pytorch_msssim import ssim
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


def pixel_ratio(poisons: Tensor, clean_largest: float) -> float:
    """Mean largest pixel magnitude of the poisons (n, c, h, w) over the largest of all clean ones."""
    return (poisons.double().flatten(1).abs().amax(1).mean() / clean_largest).item()


def psnr(images: Tensor, base: Tensor) -> float:
    """Mean peak signal-to-noise ratio in dB of images against `base`, (n, c, h, w), peak 1; an image is worth at most 100 dB."""
    errors = (images.double() - base.double()).square().flatten(1).mean(1)
    return (-10 * errors.clamp(min=1e-10).log10()).mean().item()


def structural_similarity(images: Tensor, base: Tensor) -> float:
    """Mean SSIM (Wang et al., 2004; window 11, data range 1) of images against `base`, (n, c, h, w)."""
    return ssim(images.double(), base.double(), data_range=1.0).item()
