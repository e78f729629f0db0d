"""The line search of Newton's method, for K problems at once."""

import torch
from torch import Tensor

from featpoison.solvers.conjugate_gradients import dot
from featpoison.solvers.objective import Objective, Point

MOST_TRIALS = 60
"""Trials of one line search."""


def step_along(objective: Objective, start: Point, direction: Tensor) -> Point:
    """The point where each problem arrives that goes along its `direction` (K, C, d+1) to where the objective
    is flat.

    The step fulfils the strong Wolfe conditions (Nocedal and Wright, Numerical Optimization, 2006, section
    3.1): the objective falls by enough, and its slope by nine tenths. It is 1 wherever that will do, and is
    otherwise found by Newton's method in one variable, which bisection keeps between bounds. Beside poisons
    hundreds of times as long as clean rows the objective bends as sharply as a hinge; merely halving the step
    until the objective falls then takes two or three times as many Newton steps. The search knows all logits
    on the line, so that a trial costs no product with features; the first one, which usually is the last,
    computes what the next Newton step needs. A problem that finds no such step takes the last one after which
    its objective had fallen by enough, or none. Rounding errors of the objective are allowed for.
    """
    change = objective.logits(direction)
    full = _moved(objective, start, direction, change, torch.ones_like(direction[:, :1, :1]))
    first = start.value.view(-1, 1, 1), dot(start.gradient, direction)
    trial = full.value.view(-1, 1, 1), dot(full.gradient, direction)
    if _flat_enough(first, trial, 1.0)[1].all():
        return full
    step = _search(objective, start, direction, change, first)
    return _moved(objective, start, direction, change, step)


def _moved(
    objective: Objective, start: Point, direction: Tensor, change: list[Tensor], step: Tensor
) -> Point:
    logits = [S + step * D for S, D in zip(start.logits, change, strict=True)]
    return objective.of_logits(start.omega + step * direction, logits)


def _flat_enough(
    first: tuple[Tensor, Tensor], trial: tuple[Tensor, Tensor], step: Tensor | float
) -> tuple[Tensor, Tensor]:
    """Whether the objective fell by enough, and whether its slope did too, at `step`; each (K, 1, 1).

    `first` and `trial` are values and slopes at step 0 and at `step`.
    """
    (first_value, first_slope), (value, slope) = first, trial
    fell = value <= first_value + 1e-4 * step * first_slope + 1e-14 * first_value.abs()
    return fell, fell & (slope.abs() <= 0.1 * first_slope.abs())


def _search(
    objective: Objective, start: Point, direction: Tensor, change: list[Tensor], first: tuple[Tensor, Tensor]
) -> Tensor:
    """The steps (K, 1, 1), by trials of those problems that have not found theirs."""
    along = objective.along(start, direction, change)
    step = torch.ones_like(direction[:, :1, :1])
    low, high, best = 0 * step, step + torch.inf, 0 * step
    left = torch.arange(len(step), device=step.device)
    for _ in range(MOST_TRIALS):
        t = step[left]
        value, slope, curvature = along(t, left)
        fell, found = _flat_enough((first[0][left], first[1][left]), (value, slope), t)
        best[left] = torch.where(fell, t, best[left])
        too_far = (slope > 0) | ~fell
        low[left] = torch.where(too_far, low[left], t)
        high[left] = torch.where(too_far, t, high[left])
        a, b = low[left], high[left]
        middle = torch.where(b.isinf(), 2 * t, (a + b) / 2)
        # where the objective is nearly straight, this step would be far too long
        trial = (t - slope / curvature).clamp(max=10 * t)
        step[left] = torch.where((trial > a) & (trial < b), trial, middle)
        left = left[~found.flatten()]
        if not len(left):
            break
    return best
