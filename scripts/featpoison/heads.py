"""Training a linear head, in the two ways that every result reports.

Many victims are trained together as one batched problem: K poisoned sets of the same size, sharing the clean features, times V seeds.

- `sgd100`, the paper's protocol: 100 epochs of SGD. What the paper leaves open is in `SGD100`.
- `converged`: the minimiser of mean loss + ridge/2 ||omega||^2, to a certificate. The loss is convex, so this victim cannot be hurt by
  step sizes; what only `sgd100` loses is instability.
"""

import logging
import math
from dataclasses import dataclass
from typing import Self

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from featpoison import softmax
from featpoison.seeds import stream
from featpoison.settings import Settings
from featpoison.softmax import Head

log = logging.getLogger(__name__)
PLAIN_ITERATIONS = 100  # conjugate-gradient steps, cheaper than the first factorisation
STALE_ITERATIONS = 20  # and cheaper than a new one
MOST_ITERATIONS = 500
ROUNDING = 1e-12


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


class Converged(Settings):
    """The victim that follows the convex problem to its end."""

    ridge: PositiveFloat = 1e-6
    """ridge/2 ||omega||^2, bias included: makes the minimiser unique."""
    tolerance: PositiveFloat = 1e-8
    """Largest entry of the mean gradient at which to stop; results are refused above `certificate`."""
    certificate: PositiveFloat = 1e-6
    """Largest entry of the mean gradient (float64) that counts as converged."""
    iterations: PositiveInt = 200
    """Most Newton steps."""


@dataclass(frozen=True)
class Mixture:
    """K training sets: clean rows (N, d), (N,) shared by all, and each its own poisons (K, n, d), (K, n)."""

    clean: Tensor
    clean_labels: Tensor
    poisons: Tensor
    poison_labels: Tensor

    @classmethod
    def of_clean(cls, clean: Tensor, labels: Tensor) -> Self:
        """One training set without poisons."""
        return cls(clean, labels, clean.new_empty(1, 0, clean.shape[1]), labels.new_empty(1, 0))

    @property
    def rows(self) -> int:
        """N + n."""
        return len(self.clean) + self.poisons.shape[1]

    def to(self, device: torch.device, dtype: torch.dtype) -> "Mixture":
        """On `device`, features as `dtype`."""
        return Mixture(
            self.clean.to(device, dtype),
            self.clean_labels.to(device),
            self.poisons.to(device, dtype),
            self.poison_labels.to(device),
        )


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
            gradient = softmax.head_gradient(table[index], labels[index], Head.from_omega(omega)) / batch.shape[1]
            velocity.mul_(settings.momentum).add_(gradient.add_(omega, alpha=settings.weight_decay))
            rate = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * step / total))
            omega.sub_(velocity, alpha=rate)
            step += 1
        if epoch >= settings.epochs - settings.tail:
            kept.append(omega.clone())
    return torch.stack(kept, dim=2)


def train_converged(mixture: Mixture, settings: Converged, *, classes: int, start: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The minimisers omega (K, C, d+1), float64, and their certificates (K,).

    Newton's method with Armijo backtracking; each step by conjugate gradients on closed-form Hessian-vector products, preconditioned
    where that pays by a dense Cholesky factorisation from some steps before (8 (C (d+1))^2 bytes a problem); from `start` (C, d+1) or zero. A
    certificate is the largest entry of the mean gradient; RuntimeError where it does not get below `settings.certificate`.
    """
    mixture = mixture.to(mixture.clean.device, torch.float64)
    K, width = len(mixture.poisons), mixture.clean.shape[1] + 1
    omega = mixture.clean.new_zeros(K, classes, width)
    if start is not None:
        omega += start.to(omega)
    newton = _Newton(mixture, settings.ridge)
    for _ in range(settings.iterations):
        value, gradient = _objective(mixture, omega, settings.ridge)
        certificate = gradient.abs().amax((1, 2))
        if certificate.max() <= settings.tolerance:
            break
        direction = newton.direction(omega, gradient)
        direction[certificate <= settings.tolerance] = 0
        omega = _line_search(mixture, omega, direction, value=value, gradient=gradient, ridge=settings.ridge)
    certificate = _objective(mixture, omega, settings.ridge)[1].abs().amax((1, 2))
    worst = certificate.max().item()
    log.info("converged victim: largest gradient entry %.1e", worst)
    if not worst <= settings.certificate:
        needed = f"{settings.certificate:.0e}"
        raise RuntimeError(f"converged victim: largest gradient entry {worst:.1e} after at most {settings.iterations} steps, needed {needed}")
    return omega, certificate


def objective(mixture: Mixture, omega: Tensor, ridge: float) -> Tensor:
    """Mean loss over all rows + ridge/2 ||omega||^2 of each of the K problems, (K,); omega (K, C, d+1)."""
    return _objective(mixture, omega, ridge)[0]


def _objective(mixture: Mixture, omega: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    head = Head.from_omega(omega)
    clean, clean_gradient = softmax.loss_and_gradient(mixture.clean, mixture.clean_labels, head)
    own, own_gradient = softmax.loss_and_gradient(mixture.poisons, mixture.poison_labels, head)
    value = (clean + own) / mixture.rows + ridge / 2 * omega.square().sum((1, 2))
    return value, (clean_gradient + own_gradient) / mixture.rows + ridge * omega


def _dot(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).sum((1, 2), keepdim=True)


def _factors(mixture: Mixture, head: Head, ridge: float) -> Tensor:
    """Cholesky factors of each problem's dense Hessian, (K, C (d+1), C (d+1)): a preconditioner that may be some Newton steps old."""
    factors = []
    for weight, bias, poisons in zip(head.weight, head.bias, mixture.poisons, strict=True):
        one = Head(weight=weight, bias=bias)
        H = (softmax.hessian(mixture.clean, one) + softmax.hessian(poisons, one)) / mixture.rows
        diagonal = H.diagonal()
        diagonal += ridge + ROUNDING * diagonal.mean()
        factors.append(torch.linalg.cholesky(H))
    return torch.stack(factors)


class _Newton:
    """Newton directions -H^-1 g by conjugate gradients; once plain ones take too long, preconditioned with a factorisation of H.

    A factorisation costs some hundred Hessian-vector products, so it is kept for as long as it pays.
    """

    def __init__(self, mixture: Mixture, ridge: float) -> None:
        self.mixture, self.ridge = mixture, ridge
        self.factors = torch.empty(0)

    def direction(self, omega: Tensor, gradient: Tensor) -> Tensor:
        """-H(omega)^-1 gradient, (K, C, d+1), to a residual that shrinks with the gradient (superlinear convergence)."""
        head = Head.from_omega(omega)
        found = self._solve(head, gradient, STALE_ITERATIONS if len(self.factors) else PLAIN_ITERATIONS)
        if found is None:
            self.factors = _factors(self.mixture, head, self.ridge)
            found = self._solve(head, gradient, MOST_ITERATIONS)
        return found if found is not None else self._precondition(-gradient)

    def _precondition(self, residual: Tensor) -> Tensor:
        if not len(self.factors):
            return residual
        return torch.cholesky_solve(residual.flatten(1).unsqueeze(-1), self.factors).view_as(residual)

    def _solve(self, head: Head, gradient: Tensor, iterations: int) -> Tensor | None:
        """Conjugate gradients from zero; None when `iterations` do not suffice for all problems."""
        parts = [(X, softmax.probabilities(X, head)) for X in (self.mixture.clean, self.mixture.poisons)]
        size = _dot(gradient, gradient).sqrt()
        target = size * size.sqrt().clamp(max=0.1)
        x, residual = torch.zeros_like(gradient), -gradient
        z = self._precondition(residual)
        direction, rho = z, _dot(residual, z)
        for _ in range(iterations):
            active = _dot(residual, residual).sqrt() > target
            if not active.any():
                return x
            product = self._hessian_times(head, direction, parts)
            alpha = torch.where(active, rho / _dot(direction, product), 0.0)
            x, residual = x + alpha * direction, residual - alpha * product
            z = self._precondition(residual)
            following = _dot(residual, z)
            direction = z + torch.where(active, following / rho, 0.0) * direction
            rho = torch.where(active, following, rho)
        return None

    def _hessian_times(self, head: Head, vector: Tensor, parts: list[tuple[Tensor, Tensor]]) -> Tensor:
        total = sum((softmax.hessian_vector_product(X, head, vector, P=P) for X, P in parts), torch.zeros_like(vector))
        return total / self.mixture.rows + self.ridge * vector


def _line_search(mixture: Mixture, omega: Tensor, direction: Tensor, *, value: Tensor, gradient: Tensor, ridge: float) -> Tensor:
    """Backtrack each problem until its objective falls enough (Armijo, up to rounding); the new omega."""
    slope = _dot(gradient, direction).flatten()
    step = torch.ones_like(value)
    rounding = 1e-14 * value.abs()
    for _ in range(40):
        trial = omega + step.view(-1, 1, 1) * direction
        good = objective(mixture, trial, ridge) <= value + 1e-4 * step * slope + rounding
        if good.all():
            return trial
        step = torch.where(good, step, step / 2)
    return torch.where(good.view(-1, 1, 1), trial, omega)
