"""Attacks that move images themselves (paper, section 3): one loop, in which each attack is an objective over
the poisons' features.

A pass visits the poisons batch by batch, with one forward and one backward pass of the frozen encoder each:
the objective turns features into the gradient in them, the encoder pushes that back to pixels. Poisons are
kept in one of three sets. `free`: nothing is asked. `valid`: images that move in [0, 1] and are rounded to 8
bits where they are kept, so that they can be uploaded. `constrained`: the paper's, which adds to the
objective penalty/2 ||mu' - nu||^2 (sums over poisons) and stays in the range of the clean images.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from featpoison.attacks.choices import Set
from featpoison.attacks.constraints import ConstraintSet
from featpoison.attacks.step_rules import SECOND_MOMENTUM, Optimizer, StepRule
from featpoison.common.pixels import to_8bit, to_pixels
from featpoison.common.precision import Precision
from featpoison.common.progress import Progress
from featpoison.common.row_blocks import row_blocks
from featpoison.common.settings import Settings
from featpoison.records.checkpoints import Checkpoint

log = logging.getLogger(__name__)
KEPT_EVERY = 20  # passes between two states that a killed run resumes from


class InputSpace(Settings):
    """Settings of every attack in input space."""

    penalty: NonNegativeFloat = 1.0
    """Weight of 1/2 ||mu' - nu||^2, pixel range, where constrained (paper: 1)."""
    epochs: PositiveInt = 2000
    """Passes over the poisons."""
    optimizer: Optimizer = "adam"
    """Step rule; Adam's steps do not depend on the scale of the objective."""
    second_momentum: float = Field(default=SECOND_MOMENTUM, ge=0, lt=1)
    """Adam's decay of squared gradients. Where gradients shrink a hundredfold on the way, as towards a
    vanishing residual, a smaller one forgets the early ones in time."""
    step_size: PositiveFloat = 0.02
    """First step size of free poisons, in units of pixel range for Adam; half a cosine takes it to zero."""
    valid_step_size: PositiveFloat | None = None
    """First step size of valid poisons; null: `step_size`. Free poisons may go far, others may not."""
    constrained_step_size: PositiveFloat | None = None
    """First step size of constrained poisons; null: `step_size`."""
    batch_size: PositiveInt = 256
    """Images that pass through the encoder together. One batch for all poisons makes every step exact."""
    precision: Precision = "auto"
    """Arithmetic of the encoder; poisons are float32 always."""

    def first_step_size(self, kept_in: Set) -> float:
        """The first step size of poisons kept in a set."""
        own = {"valid": self.valid_step_size, "constrained": self.constrained_step_size}
        return own.get(str(kept_in)) or self.step_size


class Objective(Protocol):
    """What an attack minimises over the poisons' features; sums over rows, so the penalty's weight means the
    same for every attack."""

    comparable: bool
    """Whether values of different passes say which poisons are better; if not, the last ones are kept."""

    def gradient(self, block: slice, features: Tensor) -> Tensor:
        """Gradient of the objective in the features (n, d) of the rows in `block`, given these and the last
        ones of all other rows. Where rows are features themselves, they change in place after the call."""
        ...

    def value(self) -> float:
        """The objective where the last pass found the poisons."""
        ...

    def state(self) -> dict[str, Tensor]:
        """What has to be kept to go on later; called at fixed passes, so whatever is not in it may be dropped
        then."""
        ...

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from `state`."""
        ...


PullBack = Callable[[Tensor, Callable[[Tensor], Tensor]], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Optimised:
    """The poisons (n, ...), best or last, as 8-bit values if `valid`; the objective (with the penalty) of the
    base rows and of these, before they were rounded; the passes taken."""

    poisons: Tensor
    first_value: float
    last_value: float
    epochs: int

    def facts(self) -> dict[str, float]:
        """How far the objective came, as a product's file says it."""
        return {"first_value": self.first_value, "last_value": self.last_value, "epochs": self.epochs}


def optimise(
    base: Tensor,
    objective: Objective,
    settings: InputSpace,
    *,
    kept_in: Set = "free",
    pull_back: PullBack,
    within: ConstraintSet,
    threshold: float,
    checkpoint: Checkpoint,
) -> Optimised:
    """Minimise `objective` from `base` (n, ...), which are floats or 8-bit images; stop below `threshold`.
    Poisons are judged pass by pass and the best are returned where passes are comparable.

    `pull_back` gives features of rows and the gradient pushed back to them; `within` the set that rows are
    projected to, and `kept_in` its name, which decides on step size and penalty. Resumes from the last state
    kept. Raises FloatingPointError naming the epoch and the batch at NaN or infinity.
    """
    nu, best = within.project(to_pixels(base)).clone(), base  # a copy, because rows move in place
    kept_type = torch.uint8 if kept_in == "valid" else nu.dtype
    rule = StepRule(
        settings.optimizer,
        settings.first_step_size(kept_in),
        settings.epochs,
        nu,
        settings.second_momentum,
    )
    first_value, best_value, start = math.nan, math.inf, 0
    penalty = settings.penalty if kept_in == "constrained" else 0.0
    if (kept := checkpoint.load()) is not None:
        tensors, facts = kept
        nu, best = tensors.pop("nu").to(nu), tensors.pop("best").to(nu.device)
        first_value, best_value, start = facts["first_value"], facts["best_value"], facts["epoch"]
        rule.load(tensors)
        objective.load(tensors)
        log.info("resumed after %d of %d epochs", start, settings.epochs)

    progress = Progress(settings.epochs, "epochs", done=start)
    for epoch in range(start, settings.epochs + 1):
        if epoch > start and epoch % KEPT_EVERY == 0:
            checkpoint.save(
                {"nu": nu, "best": best} | rule.state() | objective.state(),
                first_value=first_value,
                best_value=best_value,
                epoch=epoch,
            )
        found, finite = torch.empty_like(nu, dtype=kept_type), []
        for number, rows in enumerate(nu.split(settings.batch_size)):
            block = slice(number * settings.batch_size, number * settings.batch_size + len(rows))
            _, gradient = pull_back(rows, partial(objective.gradient, block))
            gradient = gradient + penalty * (rows - to_pixels(base[block]))
            finite.append(gradient.isfinite().all())
            found[block] = to_8bit(rows) if kept_in == "valid" else rows
            if epoch < settings.epochs:
                rows.copy_(within.project(rule.update(rows, gradient, epoch, block)))
        _check(finite, epoch)
        value = objective.value() + (penalty / 2 * _squared_distance(found, base) if penalty else 0.0)
        if not math.isfinite(value):
            raise FloatingPointError(f"epoch {epoch}: the objective is {value}")
        first_value = value if epoch == 0 else first_value
        if value < best_value or not objective.comparable:
            best, best_value = found, value
        if value < threshold or epoch == settings.epochs:
            break
        del found  # the next pass makes its own copy; only the best ones are held beside it
        progress.advance(1, note=f"objective {value:.5g}")
    log.info("objective %.6g -> %.6g in %d epochs", first_value, best_value, epoch)
    return Optimised(best, first_value, best_value, epoch)


def _squared_distance(poisons: Tensor, base: Tensor) -> float:
    """The squared Euclidean distance of poisons (n, ...) from their base, in float64."""
    parts = row_blocks(poisons, base)
    return sum((one - to_pixels(other)).double().square().sum().item() for one, other in parts)


def _check(finite: list[Tensor], epoch: int) -> None:
    """Raises FloatingPointError for the first batch of an epoch whose gradient was not finite. All batches at
    once: a processor that asked after each of them would wait for the GPU as often."""
    told = torch.stack(finite).tolist()
    if not all(told):
        raise FloatingPointError(f"epoch {epoch}, batch {told.index(False)}: the gradient is not finite")


def in_feature_space(features: Tensor, gradient: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """The pull back of the identity: poisons that are features themselves."""
    return features, gradient(features)
