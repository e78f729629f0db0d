"""The exact victim: the head at which mean loss + ridge/2 ||omega||^2 is smallest, found by Newton's method.

Every minimiser has a certificate, the largest absolute entry of the gradient there. Objective, gradient and
certificate are computed in float64; a Newton step, which the next one corrects, takes the clean rows' share
of its Hessian in float32. Of K problems that share their clean rows, all but the first are solved together,
from where the first one ended. An attack that moves poisons step by step keeps one `Newton` object: the
inverses that precondition its linear systems stay useful for some steps.
"""

import logging
import math
from dataclasses import replace
from functools import partial

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from featpoison.common.settings import Settings
from featpoison.solvers import class_inverses, conjugate_gradients
from featpoison.solvers.class_inverses import ClassInverses
from featpoison.solvers.conjugate_gradients import Operator, dot
from featpoison.solvers.line_search import step_along
from featpoison.solvers.objective import Objective, objective
from featpoison.solvers.training_sets import TrainingSets

log = logging.getLogger(__name__)
MOST_ITERATIONS = 500
"""Iterations after which conjugate gradients are given up."""
ROUGH_TOLERANCE = 1e-4
"""Smallest relative residual that is asked of products in float32."""
REFINEMENTS = 10
"""Most corrections of a solution by its residual in float64."""
PATIENCE = 20
"""Where there are no inverses, conjugate gradients may take this many times MOST_ITERATIONS."""
LARGEST_POISONS = 7e8
"""Bytes in float64 of all poisons beyond which K problems are solved one after the other on a CPU: with the
copies that problems which are left to solve have of theirs, memory would hold twice as many."""


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
    minimiser. `guess` (K, C, d+1), of any float type, saves steps where it is near. The first problem begins
    there or at zero, the others also at the minimiser of the first, with which they share their clean rows:
    wherever their objective is lowest. They try its inverses before they compute their own. Raises
    RuntimeError where a certificate is above `settings.certificate`.
    """
    K, width = len(sets.poisons), sets.clean.shape[1] + 1
    large = sets.clean.device.type == "cpu" and 8 * sets.poisons.numel() > LARGEST_POISONS
    fit = class_inverses.fit(K, classes, width)
    sizes = [1] * K if large or not fit or K == 1 else [1, K - 1]
    guesses = [None] * len(sizes) if guess is None else guess.split(sizes)
    heads: list[Tensor] = []
    certificates: list[Tensor] = []
    inverses = None
    for some, near in zip(sets.split(sizes), guesses, strict=True):
        newton = Newton(some, settings, inverses)
        guessed = [one.to(newton.sets.clean) for one in (near, *heads[:1]) if one is not None]
        omega, certificate = newton.minimise(newton.lowest(guessed, classes))
        heads.append(omega)
        certificates.append(certificate)
        if inverses is None and fit:
            inverses = newton.inverses.inverses[0]
        del newton  # its copies of the rows would stay in memory beside the next one's
    return torch.cat(heads), torch.cat(certificates)


class Newton:
    """Newton's method with a line search on K training sets at once, in float64.

    Each step solves a linear system by conjugate gradients, which need only products with the Hessian. They
    are preconditioned by an inverse for each class of each problem (`class_inverses`). An inverse is kept for
    as long as it helps, also when poisons move. Problems that are solved are left alone while others go on.

    The object has its own copy of the training sets, `sets`. `move_poisons` and `set_poisons` change the
    poisons there, and nothing that the caller holds. Read `sets.poisons`, but do not write to it; the next
    move changes it.
    """

    def __init__(self, sets: TrainingSets, settings: Converged, inverses: Tensor | None = None) -> None:
        """Works on the device of `sets.clean`. Nothing is computed yet. `inverses` (C, d+1, d+1) of a problem
        that may be near these are tried before their own are computed."""
        self.settings = settings
        own_poisons = sets.poisons.to(sets.clean.device, torch.float64, copy=True)
        self.sets = replace(sets, poisons=own_poisons).to(sets.clean.device, torch.float64)
        self.objective = Objective(self.sets, settings.ridge)
        self.inverses = ClassInverses(self.sets, self.objective.rough, settings.ridge, inverses)

    def move_poisons(self, block: slice, features: Tensor) -> None:
        """Replace the features of the poisons in rows `block` by `features` (b, d), of any float type.

        For K = 1: the poisons of the first problem move. The inverses stay. What was minimised before is no
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
        """Drop the inverses.

        What is computed afterwards depends on the poisons alone, and no more on what was computed before.
        """
        self.inverses.forget()

    def lowest(self, guesses: list[Tensor], classes: int) -> Tensor:
        """For each problem the head, of those in `guesses` (K or 1, C, d+1) and zero, at which its objective
        is lowest: (K, C, d+1), float64."""
        sets = self.sets
        best = sets.clean.new_zeros(len(sets.poisons), classes, sets.clean.shape[1] + 1)
        value = best.new_full((len(best),), math.log(classes))  # every row's loss at zero
        for guess in guesses:
            other = objective(sets, guess, self.settings.ridge)
            best = torch.where((other < value).view(-1, 1, 1), guess, best)
            value = torch.fmin(other, value)
        return best

    def minimise(self, omega: Tensor) -> tuple[Tensor, Tensor]:
        """The minimisers (K, C, d+1) and their certificates (K,), both float64.

        `omega` (K, C, d+1), float64, is where Newton's method starts. Raises RuntimeError where a certificate
        is above `settings.certificate` after all iterations.
        """
        settings, omega = self.settings, omega.clone()
        left, objective = torch.arange(len(omega), device=omega.device), self.objective
        at = objective.at(omega)
        for _ in range(settings.iterations):
            unsolved = at.certificate > settings.tolerance
            if not unsolved.all():
                at, left = at.only(unsolved), left[unsolved]
                objective = self.objective.only(left)
            if not len(left):
                break
            size = dot(at.gradient, at.gradient).sqrt()
            # a tolerance that shrinks with the gradient gives superlinear convergence
            forcing = size.sqrt().clamp(ROUGH_TOLERANCE, 0.1)
            product = objective.rough_hessian(at)
            direction = self._solve_roughly(product, at.omega, -at.gradient, forcing, left.tolist())
            at = step_along(objective, at, direction)
            omega[left] = at.omega
        certificate = self.objective.at(omega).certificate  # from the heads alone, without kept logits
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
        at, which = self.objective.at(omega), list(range(len(omega)))
        product, rough = self.objective.hessian(at), self.objective.rough_hessian(at)
        size = dot(b, b).sqrt().clamp(min=torch.finfo(b.dtype).tiny)
        x = torch.zeros_like(b) if start is None else start
        for corrections in range(REFINEMENTS + 1):
            residual = b - product(x)
            relative = dot(residual, residual).sqrt() / size
            if (relative <= tolerance).all():
                return x
            if corrections < REFINEMENTS:
                wanted = (tolerance / relative).clamp(ROUGH_TOLERANCE, 1)
                x = x + self._solve_roughly(rough, omega, residual, wanted, which)
        raise RuntimeError(
            f"linear system of the converged victim: relative residual {relative.max().item():.1e} after "
            f"{REFINEMENTS} corrections, needed {tolerance:.0e}"
        )

    def _solve_roughly(
        self, product: Operator, omega: Tensor, b: Tensor, tolerance: Tensor, which: list[int]
    ) -> Tensor:
        """H^-1 b of the problems `which` by conjugate gradients, by products as float32 tells them.

        `tolerance` (K, 1, 1) is the relative residual to reach, as far as float32 does.
        """
        attempt = partial(conjugate_gradients.solve, product, b, tolerance=tolerance)
        if not class_inverses.fit(len(self.sets.poisons), *omega.shape[1:]):
            return attempt(iterations=PATIENCE * MOST_ITERATIONS).x
        start, unsolved = None, [True] * len(which)
        if self.inverses.known(which):
            found = attempt(iterations=self.inverses.worth, precondition=self.inverses.of(which))
            start, unsolved = found.x, (found.relative_residual > tolerance).flatten().tolist()
            if not any(unsolved):
                return found.x
        for k, at, renewed in zip(which, omega, unsolved, strict=True):
            if renewed:
                self.inverses.renew(k, at)
        return attempt(iterations=MOST_ITERATIONS, start=start, precondition=self.inverses.of(which)).x
