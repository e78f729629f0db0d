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


def nearly_collinear(n=300, d=30, classes=4, seed=0):
    """Features that are never negative and all point nearly one way, as behind a ReLU, but far more so."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.rand(d, generator=generator, dtype=torch.float64)
    noise = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return (common + 0.01 * noise).relu(), torch.arange(n) % classes


def long_poisons(X, labels, *, times, K=1, n=30, random=False):
    """K sets of n poisons, `times` as long as the clean rows are on average, with labels drawn at random:
    copies of clean rows, or in random directions."""
    generator = torch.Generator().manual_seed(0)
    rows = X[torch.randint(len(X), (K, n), generator=generator)]
    if random:
        rows = torch.randn(rows.shape, generator=generator, dtype=X.dtype)
    poisons = times * X.norm(dim=1).mean() * rows / rows.norm(dim=2, keepdim=True)
    return TrainingSets(X, labels, poisons, labels[torch.randint(len(X), (K, n), generator=generator)])
