"""Training a linear head, in the two ways that every result reports.

Many victims are trained together as one batched problem: K poisoned sets of the same size, sharing the clean features, times V seeds.

- `sgd100`, the paper's protocol: 100 epochs of SGD. What the paper leaves open is in `SGD100`.
- `converged`: the minimiser of mean loss + ridge/2 ||omega||^2, to a certificate (`convex.py`). The loss is convex, so this victim cannot
  be hurt by step sizes; what only `sgd100` loses is instability.
"""

import math
from typing import Self

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from featpoison import softmax
from featpoison.common.seeds import stream
from featpoison.common.settings import Settings
from featpoison.softmax import Head
from featpoison.solvers.newton import Converged, train_converged
from featpoison.solvers.training_sets import Mixture


class SGD100(Settings):
    """The paper's victim (section 5.1): 100 epochs; optimiser and rates are the custom of linear evaluation, not the paper's words."""

    epochs: PositiveInt = 100
    """Passes over the mixed training set."""
    batch_size: PositiveInt = 256
    """Rows a step; the last, smaller batch of an epoch is used too."""
    learning_rate: PositiveFloat = 0.1
    """First step size; half a cosine over all steps takes it to zero."""
    momentum: NonNegativeFloat = 0.9
    """Momentum."""
    weight_decay: NonNegativeFloat = 0.0
    """L2 penalty."""
    tail: PositiveInt = 10
    """Last epochs whose spread is reported: a victim that still swings is no result."""

    @model_validator(mode="after")
    def _tail_fits(self) -> Self:
        if self.tail > self.epochs:
            raise ValueError(f"'tail' is {self.tail}, expected at most the {self.epochs} epochs")
        return self


def train(features: Tensor, labels: Tensor, victim: SGD100 | Converged, *, classes: int, seed: int = 0) -> Head:
    """One head for `features` (n, d), `labels` (n,); float64 from `Converged`, else the features' dtype. `seed` is for SGD100 only."""
    mixture = Mixture.of_clean(features, labels)
    if isinstance(victim, Converged):
        return Head.from_omega(train_converged(mixture, victim, classes=classes)[0][0])
    return Head.from_omega(train_sgd(mixture, victim, classes=classes, seeds=(seed,))[0, 0, -1])


def initial_omega(classes: int, dimension: int, seed: int) -> Tensor:
    """The untrained head of a victim seed, (C, d+1): uniform in +-1/sqrt(d), as torch.nn.Linear."""
    bound = dimension**-0.5
    return torch.empty(classes, dimension + 1).uniform_(-bound, bound, generator=stream(seed, 0, 0, device=torch.device("cpu")))


def train_sgd(mixture: Mixture, settings: SGD100, *, classes: int, seeds: tuple[int, ...]) -> Tensor:
    """omega after each of the last `tail` epochs, (K, V, tail, C, d+1), for K sets and V victim seeds.

    A seed fixes the initial head and the order of rows, the same for all K sets, whatever else is in the batch.
    """
    (N, d), (K, n) = mixture.clean.shape, mixture.poison_labels.shape
    device, rows = mixture.clean.device, mixture.rows
    table = torch.cat([mixture.clean, mixture.poisons.flatten(0, 1)])  # (N + K n, d)
    labels = torch.cat([mixture.clean_labels, mixture.poison_labels.flatten()])
    shift = (torch.arange(K, device=device) * n).view(K, 1, 1)  # set k's poisons start k n rows later
    omega = torch.stack([initial_omega(classes, d, seed) for seed in seeds]).to(table).expand(K, -1, -1, -1).clone()  # (K, V, C, d+1)
    velocity = torch.zeros_like(omega)
    starts = range(0, rows, settings.batch_size)
    total, step, kept = settings.epochs * len(starts), 0, []
    for epoch in range(settings.epochs):
        streams = [stream(seed, 1, epoch, device=torch.device("cpu")) for seed in seeds]
        order = torch.stack([torch.randperm(rows, generator=generator) for generator in streams]).to(device)
        for start in starts:
            batch = order[:, start : start + settings.batch_size]  # (V, B)
            index = torch.where(batch < N, batch, batch + shift)  # (K, V, B)
            rows_of_batch = table.index_select(0, index.flatten()).view(*index.shape, d)  # twice as fast as table[index]
            gradient = softmax.head_gradient(rows_of_batch, labels[index], Head.from_omega(omega)) / batch.shape[1]
            velocity.mul_(settings.momentum).add_(gradient.add_(omega, alpha=settings.weight_decay))
            rate = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * step / total))
            omega.sub_(velocity, alpha=rate)
            step += 1
        if epoch >= settings.epochs - settings.tail:
            kept.append(omega.clone())
    return torch.stack(kept, dim=2)
