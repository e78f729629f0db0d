"""Gradient canceling in feature space (Lu et al., 2023; paper, section 4.1, eq. 14): the poisoned features zeta, stage 2."""

import logging
import math
from dataclasses import dataclass

from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from featpoison.attacks.constraints import NormBall
from featpoison.attacks.step_rules import Optimizer, StepRule
from featpoison.common.progress import Progress
from featpoison.common.settings import Settings
from featpoison.softmax import Head, canceling_step

log = logging.getLogger(__name__)


class GradientCanceling(Settings):
    """Settings of stage 2."""

    iterations: PositiveInt = 2000
    """Most steps (paper: 2000)."""
    threshold: float = 1.0
    """Stop at L below this, L on sums (paper: 1)."""
    optimizer: Optimizer = "adam"
    """Step rule; Adam's steps do not depend on the scale of L, which grows with the square of N."""
    step_size: PositiveFloat = 0.1
    """First step size, in units of a feature for Adam; half a cosine takes it to zero."""
    norm_cap: PositiveFloat | None = None
    """Largest norm of a poisoned feature, in units of the largest clean norm; null: unlimited, as in the paper."""


@dataclass(frozen=True)
class Canceled:
    """Poisoned features (n, d) and L before the first step and at the end."""

    features: Tensor
    first_loss: float
    last_loss: float
    iterations: int


def cancel(initial: Tensor, labels: Tensor, target: Head, clean_gradient: Tensor, settings: GradientCanceling, *, largest_norm: float) -> Canceled:
    """Minimise L = 1/2 ||clean_gradient + head_gradient(zeta)||^2 over zeta, from `initial` (n, d) with fixed `labels` (n,).

    `clean_gradient` (C, d+1), at `target`; `largest_norm` of the clean features, for the cap. The best iterate is returned, so L never
    ends above its start. Raises FloatingPointError naming the step when L is no longer finite.
    """
    ball = NormBall(math.inf if settings.norm_cap is None else settings.norm_cap * largest_norm)
    zeta = ball.project(initial.clone())
    rule = StepRule(settings.optimizer, settings.step_size, settings.iterations, zeta)
    best, best_loss, first_loss = zeta, math.inf, math.nan
    progress, size = Progress(settings.iterations, "steps"), clean_gradient.norm().item()
    for step in range(settings.iterations + 1):
        loss, gradient = canceling_step(zeta, labels, target, clean_gradient)
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(f"gradient canceling: L is {value} at step {step}")
        first_loss = value if step == 0 else first_loss
        if value < best_loss:
            best, best_loss = zeta, value
        if value < settings.threshold or step == settings.iterations:
            break
        zeta = ball.project(rule.update(zeta, gradient, step))
        progress.advance(1, note=f"L {value:.4g}, residual {math.sqrt(2 * value) / size:.3f}")
    log.info("L %.4g -> %.4g in %d steps", first_loss, best_loss, step)
    return Canceled(features=best, first_loss=first_loss, last_loss=best_loss, iterations=step)
