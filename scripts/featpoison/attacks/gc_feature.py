"""GC-feature, gradient canceling in feature space (Lu et al., 2023; paper, section 4.1, eq. 14): stage 2, the
poisoned features zeta."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from featpoison.attacks import quasi_newton
from featpoison.attacks.attack import Attack, Made, Run
from featpoison.attacks.base_rows import choose_initial, poison_count
from featpoison.attacks.constraints import NormBall, features_allowed
from featpoison.attacks.operations import Sizes, Work
from featpoison.attacks.operations import canceling_step as operations_of_step
from featpoison.attacks.quasi_newton import VECTORS
from featpoison.attacks.step_rules import Optimizer, StepRule
from featpoison.common.progress import Progress
from featpoison.common.settings import Settings
from featpoison.downstream.stored_heads import read_target
from featpoison.downstream.task import read_task
from featpoison.softmax import Head, canceling_step

log = logging.getLogger(__name__)
Rule = Optimizer | Literal["l-bfgs"]
LARGEST_WORKSPACE = 3e9
"""Bytes that L-BFGS's vectors should take at most. Where they would take more they are float32, and of its
pairs of steps and gradients it keeps as many as fit, but at least two, whatever they take."""


class GCFeature(Settings):
    """Settings of gradient canceling in feature space. The table's row says how long a poisoned feature may
    be."""

    iterations: PositiveInt = 2000
    """Most steps of each optimiser (paper: 2000)."""
    threshold: float = 1.0
    """Stop at L below this, L on sums (paper: 1). L = 1/2 ||R||^2 with R over weights and bias; the public
    code of gradient canceling stops at ||R||^2 < 1 on the weights alone, without the bias."""
    optimizer: Rule | Literal["best"] = "best"
    """Step rule. L-BFGS (torch's: quasi_newton.py) ends at residuals that a fixed number of
    Adam's steps does not see; `best` runs both and keeps the smaller final L. The paper's code uses Adam."""
    step_size: PositiveFloat = 0.1
    """First step size of Adam and of gradient descent, in units of a feature for Adam; half a cosine takes it
    to zero."""
    history: PositiveInt = 10
    """Most pairs of steps and gradients that L-BFGS keeps; fewer where `LARGEST_WORKSPACE` asks for it."""

    def vectors(self, n: float, d: float) -> torch.dtype:
        """The type of L-BFGS's vectors for n poisoned features of d numbers. The objective is computed in
        float64 either way."""
        fit = 8 * n * d * (2 * self.history + VECTORS) <= LARGEST_WORKSPACE
        return torch.float64 if fit else torch.float32

    def pairs(self, n: float, d: float) -> int:
        """Pairs of vectors that L-BFGS keeps for n poisoned features of d numbers."""
        fitting = LARGEST_WORKSPACE / (self.vectors(n, d).itemsize * max(1, n) * d)
        return min(self.history, max(2, int((fitting - VECTORS) / 2)))


@dataclass(frozen=True)
class Canceled:
    """Poisoned features (n, d), L before the first step and at the end, the steps taken, and by which
    optimiser."""

    features: Tensor
    first_loss: float
    last_loss: float
    iterations: int
    optimizer: str


@dataclass(frozen=True)
class CancelingLoss:
    """The objective L = 1/2 ||clean_gradient + head_gradient(zeta)||^2 as a function of zeta."""

    labels: Tensor
    """Of the poisons (n,)."""
    target: Head
    clean_gradient: Tensor
    """Summed over the clean rows at the target, (C, d+1)."""

    def __call__(self, zeta: Tensor) -> tuple[Tensor, Tensor]:
        """L (), in the type of the target, and its gradient (n, d) in that of zeta (n, d)."""
        return canceling_step(zeta, self.labels, self.target, self.clean_gradient)

    def computed_in(self, precision: torch.dtype) -> CancelingLoss:
        """The same, computed in this type."""
        return CancelingLoss(self.labels, self.target.to(precision), self.clean_gradient.to(precision))


def cancel(initial: Tensor, objective: CancelingLoss, settings: GCFeature, *, within: NormBall) -> Canceled:
    """Minimise L over zeta, from `initial` (n, d), by each optimiser of the settings; the smallest L counts.

    `within` is the set that each zeta stays in. L never ends above its start. Results have the type of
    `initial`. Raises FloatingPointError when L is no longer finite.
    """
    rules: tuple[Rule, ...] = ("l-bfgs", "adam") if settings.optimizer == "best" else (settings.optimizer,)
    start, found = within.project(initial), []
    for rule in rules:
        if rule == "l-bfgs":
            found.append(_by_lbfgs(start, objective, settings, within))
        else:
            found.append(_by_steps(rule, start, objective, settings, within))
        one = found[-1]
        log.info("%s: L %.6g -> %.6g in %d steps", rule, one.first_loss, one.last_loss, one.iterations)
    return min(found, key=lambda one: one.last_loss)


def _report(settings: GCFeature, objective: CancelingLoss) -> Callable[[int, float], None]:
    """Progress of one optimiser: from the steps taken, and L, to a line in the log."""
    progress, size = Progress(settings.iterations, "steps"), objective.clean_gradient.norm().item()

    def report(taken: int, L: float) -> None:
        progress.advance(taken - progress.done, note=f"L {L:.4g}, residual {math.sqrt(2 * L) / size:.3f}")

    return report


def _by_lbfgs(start: Tensor, objective: CancelingLoss, settings: GCFeature, within: NormBall) -> Canceled:
    """With L in float64; it is evaluated again in the type of `start`, in which the features are stored."""
    found = quasi_newton.minimise(
        objective.computed_in(torch.float64),
        start,
        within=within,
        iterations=settings.iterations,
        vectors=settings.vectors(*start.shape),
        history=settings.pairs(*start.shape),
        threshold=settings.threshold,
        report=_report(settings, objective),
    )
    zeta = found.features.to(start)
    stored = objective.computed_in(start.dtype)
    first, last = (stored(one)[0].item() for one in (start, zeta))
    if not last <= first:  # no lower L within rounding
        zeta, last = start, first
    return Canceled(zeta, first, last, found.iterations, "l-bfgs")


def _by_steps(
    rule: Optimizer, start: Tensor, objective: CancelingLoss, settings: GCFeature, within: NormBall
) -> Canceled:
    """The best iterate of Adam or gradient descent, each step followed by the projection."""
    zeta, objective = start.clone(), objective.computed_in(start.dtype)
    steps = StepRule(rule, settings.step_size, settings.iterations, zeta)
    best, best_loss, first_loss = zeta, math.inf, math.nan
    report = _report(settings, objective)
    for step in range(settings.iterations + 1):
        loss, gradient = objective(zeta)
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(f"gradient canceling: L is {value} at step {step}")
        first_loss = value if step == 0 else first_loss
        if value < best_loss:
            best, best_loss = zeta, value
        if value < settings.threshold or step == settings.iterations:
            break
        zeta = within.project(steps.update(zeta, gradient, step))
        report(step + 1, value)
    return Canceled(best, first_loss, best_loss, step, rule)


def run(given: Run) -> Made:
    """Feature cache, target head -> poisoned features."""
    task = read_task(given.files["features"])
    target, G = read_target(given.files["target"], given.seed)
    base = choose_initial(task.train_labels, poison_count(given.budget, len(task.train)), given.seed)
    labels, place = task.train_labels[base], given.device
    within = features_allowed(given.choice, task.train)
    objective = CancelingLoss(labels.to(place), target.to(place), G.to(place))
    found = cancel(task.train[base].to(place), objective, given.settings, within=within)
    facts = {name: value for name, value in vars(found).items() if name != "features"}
    facts |= {"nonnegative": within.nonnegative}
    features = found.features.cpu().numpy()
    return Made({"features": features, "labels": labels.numpy(), "base": base.numpy()}, facts)


def work(sizes: Sizes, settings: Any, n: float) -> Work:
    """All steps of all optimisers."""
    optimisers = 2 if settings.optimizer == "best" else 1
    steps = optimisers * settings.iterations * operations_of_step(n, sizes.features, sizes.classes)
    return Work(0, steps, n * sizes.feature_bytes)


def memory(sizes: Sizes, settings: Any, n: float) -> float:
    """The features, L-BFGS's vectors, and four more arrays of the size of the poisoned features."""
    vectors = 2 * settings.pairs(n, sizes.features) + VECTORS
    double = settings.vectors(n, sizes.features) == torch.float64
    return sizes.held(n, features=2, poisoned=4 + vectors * (2 if double else 1))


ATTACK = Attack(
    name="gc-feature",
    title="GC-feature",
    makes="features",
    settings=GCFeature,
    needs=("features", "target"),
    run=run,
    work=work,
    memory=memory,
    sets=("free", "cap", "emittable"),
)
