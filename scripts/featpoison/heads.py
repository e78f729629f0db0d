"""Training a linear head, in the two ways that every result reports.

- `sgd100`, the paper's protocol: 100 epochs of SGD. What the paper leaves open is in `SGD100`.
- `converged`, the minimiser of mean loss + ridge/2 ||omega||^2, with a certificate (`solvers/newton.py`). The
  loss is convex, so no choice of step sizes can hurt this victim. Accuracy that only `sgd100` loses is lost
  to instability of its training.

Many victims are trained together as one batched problem: K training sets of the same size that share their
clean rows, times V victim seeds.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol, Self

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

WIDE = 1280
"""K d from which it is faster on a CPU to take the clean rows of a batch once for all K heads."""


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


def train_sgd(
    sets: TrainingSets,
    settings: SGD100,
    *,
    classes: int,
    seeds: tuple[int, ...],
    gradients: "Callable[[TrainingSets], BatchGradients] | None" = None,
) -> Tensor:
    """The heads of K training sets and V victim seeds, after each of the last epochs.

    Returns omega (K, V, tail, C, d+1), the bias last, in the features' type and on their device. The update
    is that of torch.optim.SGD, written out because many heads are trained at once. A seed fixes the initial
    head and the order of rows. Both are the same for all K sets, whatever else is trained along. `gradients`
    says what each step goes along, where that is not the sum over its batch.
    """
    (d, K), device, rows = (sets.clean.shape[1], len(sets.poisons)), sets.clean.device, sets.rows
    start = torch.stack([initial_omega(classes, d, seed) for seed in seeds]).to(sets.clean)  # (V, C, d+1)
    omega = start.expand(K, -1, -1, -1).clone()  # (K, V, C, d+1)
    velocity = torch.zeros_like(omega)
    wide = K * d >= WIDE and device.type == "cpu"
    own = gradients or (_SharedRows if wide else _OwnRows)
    sums = own(sets)
    steps, step, kept = settings.epochs * -(-rows // settings.batch_size), 0, []
    for epoch in range(settings.epochs):
        streams = [stream(seed, 1, epoch, device=torch.device("cpu")) for seed in seeds]
        order = torch.stack([torch.randperm(rows, generator=generator) for generator in streams])
        order = order.to(device, non_blocking=True)
        for size, summed in sums.batches(order, settings.batch_size):
            gradient = summed(Head.from_omega(omega)) / size
            if settings.weight_decay:
                gradient.add_(omega, alpha=settings.weight_decay)
            velocity.mul_(settings.momentum).add_(gradient)
            rate = settings.learning_rate * half_cosine(step, steps)
            omega.sub_(velocity, alpha=rate)
            step += 1
        if epoch >= settings.epochs - settings.tail:
            kept.append(omega.clone())
    return torch.stack(kept, dim=2)


SummedGradient = Callable[[Head], Tensor]
"""Takes heads (K, V, C, d) to their gradients (K, V, C, d+1), each summed over its rows of one batch."""


class BatchGradients(Protocol):
    """The gradients of the batches of some training sets."""

    def batches(self, order: Tensor, size: int) -> Iterator[tuple[int, SummedGradient]]:
        """The batches of an epoch, of at most `size` rows each: how many rows, and their gradient.

        `order` (V, N + n) are each seed's rows.
        """
        ...


class _OwnRows:
    """Every head has a copy of its batch: the fewest operations, for few heads or many small processors."""

    def __init__(self, sets: TrainingSets) -> None:
        (self.N, self.d), (K, n) = sets.clean.shape, sets.poison_labels.shape
        self.table = torch.cat([sets.clean, sets.poisons.flatten(0, 1)])  # (N + K n, d)
        self.labels = torch.cat([sets.clean_labels, sets.poison_labels.flatten()])
        # the poisons of set k lie k n rows later
        self.shift = (torch.arange(K, device=self.table.device) * n).view(K, 1, 1)

    def batches(self, order: Tensor, size: int) -> Iterator[tuple[int, SummedGradient]]:
        """The batches of an epoch: how many rows, and their gradient. `order` (V, N + n) are each seed's
        rows."""
        index = torch.where(order < self.N, order, order + self.shift)  # (K, V, N + n)
        labels = self.labels[index]
        for rows, given in zip(index.split(size, -1), labels.split(size, -1), strict=True):
            yield rows.shape[-1], partial(self._gradient, rows, given)

    def _gradient(self, rows: Tensor, labels: Tensor, heads: Head) -> Tensor:
        X = self.table.index_select(0, rows.flatten())  # table[rows], in half the time
        return softmax.head_gradient(X.view(*rows.shape, self.d), labels, heads)


class _SharedRows:
    """The clean rows of a batch, which are the same for all K heads of a seed, are read once, and become one
    product with the K C columns of these heads."""

    def __init__(self, sets: TrainingSets) -> None:
        self.sets, K = sets, len(sets.poisons)
        self.labels = torch.cat([sets.clean_labels.expand(K, -1), sets.poison_labels], dim=1)  # (K, N + n)

    def batches(self, order: Tensor, size: int) -> Iterator[tuple[int, SummedGradient]]:
        """As `_OwnRows.batches`."""
        numbers = torch.arange(order.shape[1]) // size  # the batch of each place in the order
        seeds = []
        for drawn in order.cpu():
            is_own = drawn >= len(self.sets.clean)
            # in each batch the clean rows first: sums do not depend on their order
            rows = drawn[(2 * numbers + is_own).argsort(stable=True)]
            clean = torch.bincount(numbers[~is_own], minlength=int(numbers[-1]) + 1).tolist()
            labels = self.labels[:, rows]
            seeds.append([*zip(rows.split(size), labels.split(size, 1), clean, strict=True)])
        for parts in zip(*seeds, strict=True):
            yield len(parts[0][0]), partial(self._gradient, parts)

    def _gradient(self, parts: Sequence[tuple[Tensor, Tensor, int]], heads: Head) -> Tensor:
        clean_rows, poisons = self.sets.clean, self.sets.poisons
        summed = []
        for (rows, labels, clean), weight, bias in zip(
            parts, heads.weight.unbind(1), heads.bias.unbind(1), strict=True
        ):
            own = poisons.index_select(1, rows[clean:] - len(clean_rows))  # (K, b, d)
            X = [clean_rows.index_select(0, rows[:clean]), own]
            summed.append(softmax.head_gradient_of_parts(X, labels, Head(weight, bias)))
        return torch.stack(summed, dim=1)
