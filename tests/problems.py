"""Small classification problems that tests of solvers and heads share."""

import torch
from featpoison.solvers.training_sets import TrainingSets


def blobs(n=300, d=6, classes=4, seed=0):
    """Overlapping classes, so that the minimiser is finite."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, d, generator=generator, dtype=torch.float64)
    labels = torch.arange(n) % classes
    return centres[labels] + 1.5 * torch.randn(n, d, generator=generator, dtype=torch.float64), labels


def poisoned_sets(K=3, n=20):
    X, labels = blobs()
    parts = [blobs(n, seed=10 + k) for k in range(K)]
    return TrainingSets(
        X,
        labels,
        torch.stack([5 * part[0] for part in parts]),
        torch.stack([part[1].roll(1) for part in parts]),
    )
