"""The exact victim: minimiser of mean loss + ridge/2 ||omega||^2 over a head, by Newton's method, to a certificate; float64.

K problems that share their clean rows are solved together. An attack that moves poisons step by step follows the minimiser with one
`Newton` object: the inverse that preconditions its linear systems stays useful for many steps.
"""

import logging

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from featpoison import softmax
from featpoison.common.settings import Settings
from featpoison.softmax import Head
from featpoison.solvers import conjugate_gradients
from featpoison.solvers.conjugate_gradients import Solution, dot
from featpoison.solvers.training_sets import Mixture

log = logging.getLogger(__name__)
PLAIN_PRODUCTS = 30  # of one problem each, cheaper than the first inverse
STALE_ITERATIONS = 20  # conjugate-gradient steps, cheaper than a new one
SHARED_ITERATIONS = 40  # and cheaper than an inverse of each problem's own
MOST_ITERATIONS = 500
LARGEST_INVERSE = 30_000  # rows; 7 GB. Beyond it (CIFAR-100 at d = 2048) plain conjugate gradients go on
PATIENCE = 20  # times MOST_ITERATIONS, there
ROUNDING = 1e-6  # of the mean diagonal entry: more than float32 sums can be off


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


def train_converged(mixture: Mixture, settings: Converged, *, classes: int) -> tuple[Tensor, Tensor]:
    """The minimisers omega (K, C, d+1), float64, and their certificates (K,): the largest entry of each mean gradient.

    RuntimeError where a certificate does not get below `settings.certificate`.
    """
    newton = Newton(mixture, settings)
    return newton.minimise(newton.mixture.clean.new_zeros(len(mixture.poisons), classes, mixture.clean.shape[1] + 1))


def objective(mixture: Mixture, omega: Tensor, ridge: float) -> Tensor:
    """Mean loss over all rows + ridge/2 ||omega||^2 of each of the K problems, (K,); omega (K, C, d+1)."""
    return _objective(mixture, omega, ridge)[0]


def _objective(mixture: Mixture, omega: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    head = Head.from_omega(omega)
    clean, clean_gradient = softmax.loss_and_gradient(mixture.clean, mixture.clean_labels, head)
    own, own_gradient = softmax.loss_and_gradient(mixture.poisons, mixture.poison_labels, head)
    value = (clean + own) / mixture.rows + ridge / 2 * omega.square().sum((1, 2))
    return value, (clean_gradient + own_gradient) / mixture.rows + ridge * omega


class Newton:
    """Newton's method with Armijo backtracking on K mixtures at once; linear systems by conjugate gradients on closed-form products.

    Where plain conjugate gradients take too long they are preconditioned by one dense inverse (Cholesky) of the problems' average
    Hessian, 8 (C (d+1))^2 bytes, and where that is too far from each of them, by an inverse of each. These cost some hundred products, so
    they are kept for as long as they pay: `mixture` may be replaced by a slightly different one.
    """

    def __init__(self, mixture: Mixture, settings: Converged) -> None:
        self.settings = settings
        self.mixture = mixture.to(mixture.clean.device, torch.float64)
        self.forget()

    def forget(self) -> None:
        """Drop the inverse and what was learned about its worth, so that what follows does not depend on the past."""
        self.inverse = torch.empty(0)  # (1 or K, n, n)
        self.shared = True
        self.plain = 0  # products spent without an inverse

    def minimise(self, omega: Tensor) -> tuple[Tensor, Tensor]:
        """The minimisers from `omega` (K, C, d+1), float64, and their certificates (K,); RuntimeError where they are not reached."""
        settings = self.settings
        for _ in range(settings.iterations):
            value, gradient = _objective(self.mixture, omega, settings.ridge)
            certificate = gradient.abs().amax((1, 2))
            if certificate.max() <= settings.tolerance:
                break
            size = dot(gradient, gradient).sqrt()
            forcing = size.sqrt().clamp(max=0.1)  # a residual that shrinks with the gradient: superlinear convergence
            direction = self.solve(omega, -gradient, forcing).x
            direction[certificate <= settings.tolerance] = 0
            omega = _line_search(self.mixture, omega, direction, value=value, gradient=gradient, ridge=settings.ridge)
        certificate = _objective(self.mixture, omega, settings.ridge)[1].abs().amax((1, 2))
        worst = certificate.max().item()
        log.debug("converged victim: largest gradient entry %.1e", worst)
        if not worst <= settings.certificate:
            needed = f"{settings.certificate:.0e}"
            raise RuntimeError(f"converged victim: largest gradient entry {worst:.1e} after at most {settings.iterations} steps, needed {needed}")
        return omega, certificate

    def solve(self, omega: Tensor, b: Tensor, tolerance: float | Tensor, start: Tensor | None = None) -> Solution:
        """H(omega)^-1 b, (K, C, d+1), H the Hessian of the mean loss with its ridge, to relative residuals of `tolerance`."""
        product = self._hessian_at(omega)
        if omega[0].numel() > LARGEST_INVERSE:
            return conjugate_gradients.solve(product, b, tolerance=tolerance, iterations=PATIENCE * MOST_ITERATIONS, start=start)
        iterations = STALE_ITERATIONS if len(self.inverse) else max(0, PLAIN_PRODUCTS // len(b) - self.plain)
        found = conjugate_gradients.solve(product, b, tolerance=tolerance, iterations=iterations, start=start, precondition=self._precondition)
        self.plain += found.products
        if (found.relative_residual <= tolerance).all():
            return found
        if self.shared:
            self.inverse = _inverse(self.mixture, omega.mean(0), self.settings.ridge).unsqueeze(0)
            iterations = SHARED_ITERATIONS if len(b) > 1 else MOST_ITERATIONS
            found = conjugate_gradients.solve(product, b, tolerance=tolerance, iterations=iterations, precondition=self._precondition)
            if len(b) == 1 or (found.relative_residual <= tolerance).all():
                return found
            self.shared = False
        self.inverse = torch.stack([_inverse(one, at, self.settings.ridge) for one, at in zip(self.mixture.each(), omega, strict=True)])
        return conjugate_gradients.solve(product, b, tolerance=tolerance, iterations=MOST_ITERATIONS, precondition=self._precondition)

    def _precondition(self, residual: Tensor) -> Tensor:
        if not len(self.inverse):
            return residual
        if self.shared:
            return (residual.flatten(1) @ self.inverse[0]).view_as(residual)
        return (residual.flatten(1).unsqueeze(1) @ self.inverse).view_as(residual)

    def _hessian_at(self, omega: Tensor) -> conjugate_gradients.Operator:
        head, ridge, rows = Head.from_omega(omega), self.settings.ridge, self.mixture.rows
        parts = [(X, softmax.probabilities(X, head)) for X in (self.mixture.clean, self.mixture.poisons)]

        def product(vector: Tensor) -> Tensor:
            total = sum((softmax.hessian_vector_product(X, head, vector, P=P) for X, P in parts), torch.zeros_like(vector))
            return total / rows + ridge * vector

        return product


def _inverse(mixture: Mixture, omega: Tensor, ridge: float) -> Tensor:
    """The dense inverse of the problems' average Hessian at one omega (C, d+1), (C (d+1), C (d+1)).

    It is a preconditioner, so sums in float32 and a few steps of age do.
    """
    rough = mixture.to(mixture.clean.device, torch.float32)
    one = Head.from_omega(omega.float())
    own = sum(softmax.hessian(poisons, one) for poisons in rough.poisons)
    H = (softmax.hessian(rough.clean, one) + own / len(rough.poisons)).double() / mixture.rows
    diagonal = H.diagonal()
    diagonal += ridge + ROUNDING * diagonal.mean()
    return torch.cholesky_inverse(torch.linalg.cholesky(H))


def _line_search(mixture: Mixture, omega: Tensor, direction: Tensor, *, value: Tensor, gradient: Tensor, ridge: float) -> Tensor:
    """Backtrack each problem until its objective falls enough (Armijo, up to rounding); the new omega."""
    slope = dot(gradient, direction).flatten()
    step = torch.ones_like(value)
    rounding = 1e-14 * value.abs()
    for _ in range(40):
        trial = omega + step.view(-1, 1, 1) * direction
        good = objective(mixture, trial, ridge) <= value + 1e-4 * step * slope + rounding
        if good.all():
            return trial
        step = torch.where(good, step, step / 2)
    return torch.where(good.view(-1, 1, 1), trial, omega)
