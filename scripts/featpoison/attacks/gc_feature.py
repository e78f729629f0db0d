"""GC-feature, gradient canceling in feature space (Lu et al., 2023; paper, section 4.1, eq. 14): stage 2, the
poisoned features zeta."""

import logging
import math
from dataclasses import dataclass
from typing import Any

from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from featpoison.attacks.attack import Attack, Made, Run
from featpoison.attacks.base_rows import choose_initial, poison_count
from featpoison.attacks.constraints import NormBall
from featpoison.attacks.operations import Sizes, Work, canceling_step
from featpoison.attacks.step_rules import Optimizer, StepRule
from featpoison.common.progress import Progress
from featpoison.common.settings import Settings
from featpoison.downstream.stored_heads import read_target
from featpoison.downstream.task import read_task
from featpoison.softmax import Head
from featpoison.softmax import canceling_step as loss_and_gradient

log = logging.getLogger(__name__)


class GCFeature(Settings):
    """Settings of gradient canceling in feature space. The table's row says how long a poisoned feature may
    be."""

    iterations: PositiveInt = 2000
    """Most steps (paper: 2000)."""
    threshold: float = 1.0
    """Stop at L below this, L on sums (paper: 1). L = 1/2 ||R||^2 with R over weights and bias; the public
    code of gradient canceling stops at ||R||^2 < 1 on the weights alone, without the bias."""
    optimizer: Optimizer = "adam"
    """Step rule; Adam's steps do not depend on the scale of L, which grows with the square of N."""
    step_size: PositiveFloat = 0.1
    """First step size, in units of a feature for Adam; half a cosine takes it to zero."""


@dataclass(frozen=True)
class Canceled:
    """Poisoned features (n, d), L before the first step and at the end, and the steps taken."""

    features: Tensor
    first_loss: float
    last_loss: float
    iterations: int


def cancel(
    initial: Tensor,
    labels: Tensor,
    target: Head,
    clean_gradient: Tensor,
    settings: GCFeature,
    *,
    within: NormBall,
) -> Canceled:
    """Minimise L = 1/2 ||clean_gradient + head_gradient(zeta)||^2 over zeta, from `initial` (n, d) with fixed
    `labels` (n,).

    `clean_gradient` (C, d+1), at `target`; `within` is the set that each zeta stays in. The best iterate is
    returned, so L never ends above its start. Raises FloatingPointError naming the step when L is no longer
    finite.
    """
    zeta = within.project(initial.clone())
    rule = StepRule(settings.optimizer, settings.step_size, settings.iterations, zeta)
    best, best_loss, first_loss = zeta, math.inf, math.nan
    progress, size = Progress(settings.iterations, "steps"), clean_gradient.norm().item()
    for step in range(settings.iterations + 1):
        loss, gradient = loss_and_gradient(zeta, labels, target, clean_gradient)
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(f"gradient canceling: L is {value} at step {step}")
        first_loss = value if step == 0 else first_loss
        if value < best_loss:
            best, best_loss = zeta, value
        if value < settings.threshold or step == settings.iterations:
            break
        zeta = within.project(rule.update(zeta, gradient, step))
        progress.advance(1, note=f"L {value:.4g}, residual {math.sqrt(2 * value) / size:.3f}")
    log.info("L %.4g -> %.4g in %d steps", first_loss, best_loss, step)
    return Canceled(features=best, first_loss=first_loss, last_loss=best_loss, iterations=step)


def run(given: Run) -> Made:
    """Feature cache, target head -> poisoned features. The norm cap is in units of the largest clean norm."""
    task, (target, G) = read_task(given.files["features"]), read_target(given.files["target"])
    base = choose_initial(task.train_labels, poison_count(given.budget, len(task.train)), given.seed)
    labels, place = task.train_labels[base], given.device
    cap = given.choice.norm_cap
    radius = math.inf if cap is None else cap * task.train.norm(dim=1).max().item()
    found = cancel(
        task.train[base].to(place),
        labels.to(place),
        target.to(place),
        G.to(place),
        given.settings,
        within=NormBall(radius),
    )
    return Made(
        {"features": found.features.cpu().numpy(), "labels": labels.numpy(), "base": base.numpy()},
        {"first_loss": found.first_loss, "last_loss": found.last_loss, "iterations": found.iterations},
    )


def work(sizes: Sizes, settings: Any, n: float) -> Work:
    """All steps."""
    steps = settings.iterations * canceling_step(n, sizes.features, sizes.classes)
    return Work(0, steps, n * sizes.feature_bytes)


def memory(sizes: Sizes, settings: Any, n: float) -> float:
    """The features, and sixteen arrays of the size of the poisoned ones."""
    return sizes.held(n, features=2, poisoned=16)


ATTACK = Attack(
    name="gc-feature",
    title="GC-feature",
    makes="features",
    settings=GCFeature,
    needs=("features", "target"),
    run=run,
    work=work,
    memory=memory,
    sets=("free", "cap"),
)
