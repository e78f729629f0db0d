"""The exact victim: the head at which mean loss + ridge/2 ||omega||^2 is smallest, found by Newton's method.

Every minimiser has a certificate, the largest absolute entry of the gradient there. Objective, gradient and
certificate are computed in float64; a Newton step, which the next one corrects, takes the clean rows' share
of its Hessian in float32. K problems that share their clean rows are solved together. An attack that moves
poisons step by step keeps one `Newton` object: the inverse that preconditions its linear systems stays useful
for many steps.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from featpoison import softmax
from featpoison.common.settings import Settings
from featpoison.softmax import Head
from featpoison.solvers import conjugate_gradients
from featpoison.solvers.conjugate_gradients import Solution, dot
from featpoison.solvers.training_sets import TrainingSets

log = logging.getLogger(__name__)
PLAIN_PRODUCTS = 30
"""Products with the Hessian of one problem that cost less than the first inverse."""
STALE_ITERATIONS = 20
"""Conjugate-gradient iterations with an old inverse that cost less than a new one."""
SHARED_ITERATIONS = 40
"""Iterations with one inverse for all problems that cost less than an inverse for each."""
MOST_ITERATIONS = 500
"""Iterations after which conjugate gradients are given up."""
LARGEST_INVERSE = 30_000
"""Largest number of rows C (d+1) of an inverse, 7 GB. A larger head (CIFAR-100 at d = 2048) has none."""
MOST_TRIALS = 60
"""Trials of one line search."""
ROUGH_TOLERANCE = 1e-4
"""Smallest relative residual that is asked of products in float32."""
REFINEMENTS = 10
"""Most corrections of a solution by its residual in float64."""
PATIENCE = 20
"""Where there is no inverse, conjugate gradients may take this many times MOST_ITERATIONS."""
ROUNDING = 1e-6
"""Added to the diagonal of an inverted Hessian, times the mean diagonal of its clean part. Sums in float32
may be wrong by more, so it grows tenfold until the sum is positive definite."""


class Converged(Settings):
    """The victim that is trained until its convex problem is solved."""

    ridge: PositiveFloat = 1e-6
    """ridge/2 ||omega||^2 is added to the mean loss, bias included; it makes the minimiser unique."""
    tolerance: PositiveFloat = 1e-8
    """Training stops when no entry of the mean gradient is larger."""
    certificate: PositiveFloat = 1e-6
    """Largest absolute entry of the mean gradient (float64) that counts as converged; others are refused."""
    iterations: PositiveInt = 200
    """Most Newton steps."""


def train_converged(
    sets: TrainingSets, settings: Converged, *, classes: int, guess: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The minimisers omega (K, C, d+1), bias last, and their certificates (K,), both float64.

    A certificate is the largest absolute entry of the gradient of the objective (`objective`) at the
    minimiser. `guess` (K, C, d+1), of any float type, saves steps where it is near: each problem begins there
    or at zero, wherever its objective is lower. Raises RuntimeError where a certificate is above
    `settings.certificate`.
    """
    newton = Newton(sets, settings)
    start = newton.sets.clean.new_zeros(len(sets.poisons), classes, sets.clean.shape[1] + 1)
    if guess is not None:
        guess = guess.to(start)
        at_guess, at_zero = (objective(newton.sets, one, settings.ridge) for one in (guess, start))
        start = torch.where((at_guess < at_zero).view(-1, 1, 1), guess, start)
    return newton.minimise(start)


def objective(sets: TrainingSets, omega: Tensor, ridge: float) -> Tensor:
    """Mean loss over the N + n rows plus ridge/2 ||omega||^2 of each of the K problems, (K,).

    omega (K, C, d+1) has the bias in its last column.
    """
    return _objective_and_gradient(sets, omega, ridge)[0]


def _objective_and_gradient(sets: TrainingSets, omega: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """The objective (K,) and its gradient in omega, (K, C, d+1)."""
    head = Head.from_omega(omega)
    clean, clean_gradient = softmax.loss_and_gradient(sets.clean, sets.clean_labels, head)
    own, own_gradient = softmax.loss_and_gradient(sets.poisons, sets.poison_labels, head)
    value = (clean + own) / sets.rows + ridge / 2 * omega.square().sum((1, 2))
    return value, (clean_gradient + own_gradient) / sets.rows + ridge * omega


class Newton:
    """Newton's method with a line search on K training sets at once, in float64.

    Each step solves a linear system by conjugate gradients, which need only products with the Hessian
    (`softmax`). Where that takes too many iterations, they are preconditioned by the dense inverse (Cholesky)
    of the average Hessian of the K problems, 8 (C (d+1))^2 bytes; where one inverse for all is not enough, by
    an inverse for each problem. An inverse costs as much as some hundred products. It is therefore kept for
    as long as it helps, also when poisons move.

    The object has its own copy of the training sets, `sets`. `move_poisons` and `set_poisons` change the
    poisons there, and nothing that the caller holds. Read `sets.poisons`, but do not write to it; the next
    move changes it.
    """

    def __init__(self, sets: TrainingSets, settings: Converged) -> None:
        """Works on the device of `sets.clean`. Nothing is computed yet."""
        self.settings = settings
        own_poisons = sets.poisons.to(sets.clean.device, torch.float64, copy=True)
        self.sets = replace(sets, poisons=own_poisons).to(sets.clean.device, torch.float64)
        self.rough = self.sets.clean.float()
        self.forget()

    def move_poisons(self, block: slice, features: Tensor) -> None:
        """Replace the features of the poisons in rows `block` by `features` (b, d), of any float type.

        For K = 1: the poisons of the first problem move. The inverse stays. What was minimised before is no
        minimum any more, so call `minimise` again.
        """
        self.sets.poisons[0, block] = features.double()

    def set_poisons(self, features: Tensor) -> None:
        """Replace the features of all poisons by `features` (K, n, d), as a run does that is resumed.

        Raises ValueError for another shape.
        """
        if features.shape != self.sets.poisons.shape:
            raise ValueError(f"poisons {tuple(features.shape)}, expected {tuple(self.sets.poisons.shape)}")
        self.sets.poisons.copy_(features)

    def forget(self) -> None:
        """Drop the inverse and what was learned of its use.

        What is computed afterwards depends on the poisons alone, and no more on what was computed before.
        """
        self.inverse = torch.empty(0)  # later (1, n, n), or (K, n, n) where `shared` is False, n = C (d+1)
        self.shared = True
        self.plain = 0  # products spent without an inverse

    def minimise(self, omega: Tensor) -> tuple[Tensor, Tensor]:
        """The minimisers (K, C, d+1) and their certificates (K,), both float64.

        `omega` (K, C, d+1), float64, is where Newton's method starts. Raises RuntimeError where a certificate
        is above `settings.certificate` after all iterations.
        """
        settings = self.settings
        for _ in range(settings.iterations):
            _, gradient = _objective_and_gradient(self.sets, omega, settings.ridge)
            certificate = gradient.abs().amax((1, 2))
            if certificate.max() <= settings.tolerance:
                break
            size = dot(gradient, gradient).sqrt()
            # a tolerance that shrinks with the gradient gives superlinear convergence
            forcing = size.sqrt().clamp(ROUGH_TOLERANCE, 0.1)
            direction = self._solve_roughly(omega, -gradient, forcing).x
            direction[certificate <= settings.tolerance] = 0
            omega = _line_search(self.sets, omega, direction, settings.ridge)
        _, gradient = _objective_and_gradient(self.sets, omega, settings.ridge)
        certificate = gradient.abs().amax((1, 2))
        worst = certificate.max().item()
        log.debug("converged victim: largest gradient entry %.1e", worst)
        if not worst <= settings.certificate:
            needed = f"{settings.certificate:.0e}"
            raise RuntimeError(
                f"converged victim: largest gradient entry {worst:.1e} "
                f"after at most {settings.iterations} steps, needed {needed}"
            )
        return omega, certificate

    def solve(self, omega: Tensor, b: Tensor, tolerance: float, start: Tensor | None = None) -> Tensor:
        """H^-1 b for the K Hessians H of the mean loss with its ridge, at omega (K, C, d+1); b (K, C, d+1).

        `tolerance` is the largest relative residual ||b - H x|| / ||b|| of a solution (K, C, d+1), in
        float64. `start`: where to begin, zero without it. Each rough solution is corrected by its residual.
        Raises RuntimeError where REFINEMENTS corrections are not enough.
        """
        product = self._hessian_at(omega, self.sets.clean)
        size = dot(b, b).sqrt().clamp(min=torch.finfo(b.dtype).tiny)
        x = torch.zeros_like(b) if start is None else start
        for corrections in range(REFINEMENTS + 1):
            residual = b - product(x)
            relative = dot(residual, residual).sqrt() / size
            if (relative <= tolerance).all():
                return x
            if corrections < REFINEMENTS:
                wanted = (tolerance / relative).clamp(ROUGH_TOLERANCE, 1)
                x = x + self._solve_roughly(omega, residual, wanted).x
        raise RuntimeError(
            f"linear system of the converged victim: relative residual {relative.max().item():.1e} after "
            f"{REFINEMENTS} corrections, needed {tolerance:.0e}"
        )

    def _solve_roughly(self, omega: Tensor, b: Tensor, tolerance: Tensor) -> Solution:
        """H^-1 b by conjugate gradients, with the clean rows' share of the K Hessians in float32.

        `tolerance` (K, 1, 1) is the relative residual to reach, as far as float32 tells.
        """
        product = self._hessian_at(omega, self.rough)
        attempt = partial(conjugate_gradients.solve, product, b, tolerance=tolerance)
        if omega[0].numel() > LARGEST_INVERSE:
            return attempt(iterations=PATIENCE * MOST_ITERATIONS)
        attempt = partial(attempt, precondition=self._precondition)
        # first with the inverse that there is, or with none
        iterations = STALE_ITERATIONS if len(self.inverse) else max(0, PLAIN_PRODUCTS // len(b) - self.plain)
        found = attempt(iterations=iterations)
        self.plain += found.products
        if (found.relative_residual <= tolerance).all():
            return found
        # then with a new inverse for all problems
        if self.shared:
            self.inverse = _inverse(self.sets, omega.mean(0), self.settings.ridge).unsqueeze(0)
            found = attempt(iterations=SHARED_ITERATIONS if len(b) > 1 else MOST_ITERATIONS)
            if len(b) == 1 or (found.relative_residual <= tolerance).all():
                return found
            self.shared = False
        # and last with an inverse for each problem that is not solved
        if len(self.inverse) != len(b):
            self.inverse = self.inverse.repeat(len(b), 1, 1)
        unsolved = (found.relative_residual > tolerance).flatten().tolist()
        for k, (one, at) in enumerate(zip(self.sets.each(), omega, strict=True)):
            if unsolved[k]:
                self.inverse[k] = _inverse(one, at, self.settings.ridge)
        return attempt(iterations=MOST_ITERATIONS, start=found.x)

    def _precondition(self, residual: Tensor) -> Tensor:
        """The residual (K, C, d+1) times the inverse; unchanged where there is none yet."""
        if not len(self.inverse):
            return residual
        if self.shared:
            return (residual.flatten(1) @ self.inverse[0]).view_as(residual)
        return (residual.flatten(1).unsqueeze(1) @ self.inverse).view_as(residual)

    def _hessian_at(self, omega: Tensor, clean: Tensor) -> conjugate_gradients.Operator:
        """The product of vectors (K, C, d+1) float64 with the K Hessians at omega; what all products share is
        kept.

        `clean` (N, d) are the clean rows, in the type in which their share is computed. Poisons are few and
        may be hundreds of times longer: their share is always in float64.
        """
        ridge, rows = self.settings.ridge, self.sets.rows
        heads = [(X, Head.from_omega(omega.to(X))) for X in (clean, self.sets.poisons)]
        parts = [(X, head, softmax.probabilities(X, head)) for X, head in heads]

        def product(vector: Tensor) -> Tensor:
            total = torch.zeros_like(vector)
            for X, head, P in parts:
                total += softmax.hessian_vector_product(X, head, vector.to(X), P=P)
            return total / rows + ridge * vector

        return product


def _inverse(sets: TrainingSets, omega: Tensor, ridge: float) -> Tensor:
    """The dense inverse of the problems' average Hessian at one omega (C, d+1), with a larger diagonal.

    Its shape is (C (d+1), C (d+1)). It is only a preconditioner, and may be a few steps old. Sums over clean
    rows in float32 are therefore good enough. Poisons are few and may be hundreds of times longer, so that
    float32 would lose the clean part beside them: they are summed in float64. Raises FloatingPointError where
    features are not finite.
    """
    rough = sets.to(sets.clean.device, torch.float32)
    clean = softmax.hessian(rough.clean, Head.from_omega(omega.float())).double() / sets.rows
    own = sum(softmax.hessian(poisons, Head.from_omega(omega)) for poisons in sets.poisons)
    H = clean + own / (len(sets.poisons) * sets.rows)
    H.diagonal().add_(ridge)
    if not H.isfinite().all():
        raise FloatingPointError("converged victim: the Hessian is not finite, expected finite features")
    shift = ROUNDING * clean.diagonal().mean()
    while True:  # ends: a large enough diagonal makes any finite matrix positive definite
        H.diagonal().add_(shift)
        factor, failed = torch.linalg.cholesky_ex(H)
        if not failed:
            return torch.cholesky_inverse(factor)
        shift = 10 * shift


def _line_search(sets: TrainingSets, omega: Tensor, direction: Tensor, ridge: float) -> Tensor:
    """The new omega: each problem goes along its `direction` (K, C, d+1) to where the objective is flat.

    The step fulfils the strong Wolfe conditions (Nocedal and Wright, Numerical Optimization, 2006, section
    3.1): the objective falls by enough, and its slope by nine tenths. It is 1 wherever that will do, and is
    otherwise found by Newton's method in one variable, which bisection keeps between bounds. Beside poisons
    hundreds of times as long as clean rows the objective bends as sharply as a hinge; merely halving the step
    until the objective falls then takes two or three times as many Newton steps. The search knows all logits
    on the line, so that a trial costs no product with features. A problem that finds no such step takes the
    last one after which its objective had fallen by enough, or none. Rounding errors of the objective are
    allowed for.
    """
    along = _objective_along(sets, omega, direction, ridge)
    step = torch.ones(len(omega), 1, 1, dtype=omega.dtype, device=omega.device)
    first_value, first_slope, _ = along(0 * step)
    low, high, best = 0 * step, step + torch.inf, 0 * step
    for _ in range(MOST_TRIALS):
        value, slope, curvature = along(step)
        fell = value <= first_value + 1e-4 * step * first_slope + 1e-14 * first_value.abs()
        best = torch.where(fell, step, best)
        found = fell & (slope.abs() <= 0.1 * first_slope.abs())
        if found.all():
            break
        too_far = (slope > 0) | ~fell
        low, high = torch.where(too_far, low, step), torch.where(too_far, step, high)
        middle = torch.where(high.isinf(), 2 * step, (low + high) / 2)
        # where the objective is nearly straight, this step would be far too long
        trial = (step - slope / curvature).clamp(max=10 * step)
        between = (trial > low) & (trial < high)
        step = torch.where(found, step, torch.where(between, trial, middle))
    return omega + best * direction


def _objective_along(
    sets: TrainingSets, omega: Tensor, direction: Tensor, ridge: float
) -> Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]:
    """The function that takes t to `objective` at omega + t direction and its two derivatives in t.

    t and the three results are (K, 1, 1).
    """
    here, there = Head.from_omega(omega), Head.from_omega(direction)
    rows = (sets.clean, sets.clean_labels), (sets.poisons, sets.poison_labels)
    parts = [(softmax.logits(X, here), softmax.logits(X, there), labels) for X, labels in rows]
    cross, square = dot(omega, direction), dot(direction, direction)
    start = dot(omega, omega)

    def at(t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        clean, own = (softmax.loss_along(S + t * D, labels, D) for S, D, labels in parts)
        value, slope, curvature = (
            (one + other).view(-1, 1, 1) / sets.rows for one, other in zip(clean, own, strict=True)
        )
        value = value + ridge / 2 * (start + 2 * t * cross + t.square() * square)
        return value, slope + ridge * (cross + t * square), curvature + ridge * square

    return at
