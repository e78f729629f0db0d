"""Training a linear head, in the two ways that every result reports.

- `sgd100`, the paper's protocol: 100 epochs of SGD. What the paper leaves open is in `SGD100`.
- `converged`, the minimiser of mean loss + ridge/2 ||omega||^2, with a certificate (`solvers/newton.py`). The
  loss is convex, so no choice of step sizes can hurt this victim. Accuracy that only `sgd100` loses is lost
  to instability of its training.

Many victims are trained together as one batched problem: K training sets of the same size that share their
clean rows, times V victim seeds.
"""

from typing import Self

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from featpoison import softmax
from featpoison.common.schedules import half_cosine
from featpoison.common.seeds import stream
from featpoison.common.settings import Settings
from featpoison.softmax import Head
from featpoison.solvers.newton import Converged, train_converged
from featpoison.solvers.training_sets import TrainingSets


class SGD100(Settings):
    """The paper's victim (section 5.1): 100 epochs.

    The paper names neither optimiser nor step sizes; these are the usual ones of linear evaluation.
    """

    epochs: PositiveInt = 100
    """Passes over the training set, clean rows and poisons together."""
    batch_size: PositiveInt = 256
    """Rows a step. The last batch of an epoch may be smaller, and is used too."""
    learning_rate: PositiveFloat = 0.1
    """First step size; half a cosine over all steps takes it to zero."""
    momentum: NonNegativeFloat = 0.9
    """Momentum."""
    weight_decay: NonNegativeFloat = 0.0
    """L2 penalty."""
    tail: PositiveInt = 10
    """Number of last epochs after which accuracy is reported: a victim that still swings is no result."""

    @model_validator(mode="after")
    def _tail_fits(self) -> Self:
        if self.tail > self.epochs:
            raise ValueError(f"'tail' is {self.tail}, expected at most the {self.epochs} epochs")
        return self


def train(
    features: Tensor, labels: Tensor, victim: SGD100 | Converged, *, classes: int, seed: int = 0
) -> Head:
    """One head, weight (C, d) and bias (C,), for `features` (n, d) with `labels` (n,).

    It is float64 from `Converged`, else of the features' type, and on their device. `seed` is for `SGD100`
    alone. Raises RuntimeError where `Converged` does not converge.
    """
    sets = TrainingSets.of_clean(features, labels)
    if isinstance(victim, Converged):
        omega, _ = train_converged(sets, victim, classes=classes)  # (1, C, d+1)
        return Head.from_omega(omega[0])
    trail = train_sgd(sets, victim, classes=classes, seeds=(seed,))  # (1, 1, tail, C, d+1)
    return Head.from_omega(trail[0, 0, -1])


def initial_omega(classes: int, dimension: int, seed: int) -> Tensor:
    """The untrained head of a victim seed, float32 (C, d+1), bias last, on the CPU.

    Every entry is uniform in [-1/sqrt(d), 1/sqrt(d)], as in torch.nn.Linear.
    """
    bound = dimension**-0.5
    generator = stream(seed, 0, 0, device=torch.device("cpu"))
    return torch.empty(classes, dimension + 1).uniform_(-bound, bound, generator=generator)


def train_sgd(sets: TrainingSets, settings: SGD100, *, classes: int, seeds: tuple[int, ...]) -> Tensor:
    """The heads of K training sets and V victim seeds, after each of the last epochs.

    Returns omega (K, V, tail, C, d+1), the bias last, in the features' type and on their device. The update
    is that of torch.optim.SGD, written out because many heads are trained at once. A seed fixes the initial
    head and the order of rows. Both are the same for all K sets, whatever else is trained along.
    """
    (N, d), (K, n) = sets.clean.shape, sets.poison_labels.shape
    device, rows = sets.clean.device, sets.rows
    table = torch.cat([sets.clean, sets.poisons.flatten(0, 1)])  # (N + K n, d)
    labels = torch.cat([sets.clean_labels, sets.poison_labels.flatten()])
    shift = (torch.arange(K, device=device) * n).view(K, 1, 1)  # the poisons of set k lie k n rows later
    start = torch.stack([initial_omega(classes, d, seed) for seed in seeds]).to(table)  # (V, C, d+1)
    omega = start.expand(K, -1, -1, -1).clone()  # (K, V, C, d+1)
    velocity = torch.zeros_like(omega)
    first_rows = range(0, rows, settings.batch_size)  # of each batch
    steps, step, kept = settings.epochs * len(first_rows), 0, []
    for epoch in range(settings.epochs):
        streams = [stream(seed, 1, epoch, device=torch.device("cpu")) for seed in seeds]
        order = torch.stack([torch.randperm(rows, generator=generator) for generator in streams]).to(device)
        for first in first_rows:
            batch = order[:, first : first + settings.batch_size]  # (V, B)
            index = torch.where(batch < N, batch, batch + shift)  # (K, V, B)
            X = table.index_select(0, index.flatten()).view(*index.shape, d)  # table[index], in half the time
            summed = softmax.head_gradient(X, labels[index], Head.from_omega(omega))
            gradient = summed / batch.shape[1]
            velocity.mul_(settings.momentum).add_(gradient.add_(omega, alpha=settings.weight_decay))
            rate = settings.learning_rate * half_cosine(step, steps)
            omega.sub_(velocity, alpha=rate)
            step += 1
        if epoch >= settings.epochs - settings.tail:
            kept.append(omega.clone())
    return torch.stack(kept, dim=2)
