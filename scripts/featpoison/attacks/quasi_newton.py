"""L-BFGS-B (Byrd, Lu, Nocedal and Zhu, 1995; scipy's implementation) over features that stay in a set.

Bounds keep entries from becoming negative. A norm cap enters by a change of variables: a row u stands for the
feature z = u min(1, r / ||u||), the projection of u to the ball. By the chain rule the gradient in u is the
gradient g in z inside of the ball, and outside of it

    r / ||u|| (g - u_hat <u_hat, g>),   u_hat = u / ||u||.

Outside of the ball nothing pulls a row back inwards, even where features inside have a lower objective. So
L-BFGS begins again from the projected rows, until that finds no lower value. On the sphere the gradient is
that of the inside for a row whose objective falls inwards, and that of the outside for any other.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import optimize
from torch import Tensor

from featpoison.attacks.constraints import NormBall

EDGE = 1e-12
"""Relative distance from the sphere at which a row counts as on it: rounding leaves projected rows there."""
LossAndGradient = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From features (n, d) to the objective () and its gradient (n, d)."""


@dataclass(frozen=True)
class Minimum:
    """Where the minimisation ended: features (n, d), the objective there, and the iterations taken."""

    features: Tensor
    value: float
    iterations: int


def minimise(
    loss_and_gradient: LossAndGradient,
    start: Tensor,
    *,
    within: NormBall,
    iterations: int,
    history: int,
    threshold: float,
    report: Callable[[int, float], None] = lambda iteration, value: None,
) -> Minimum:
    """Minimise over features (n, d) from `start`, in float64, on the device of `start`.

    Ends below `threshold`, after `iterations`, or where float64 finds no lower value. `history`: pairs of
    steps and gradients kept, of n d numbers twice each. `report(iteration, value)` is called after each
    iteration. Raises FloatingPointError where the objective is not finite.
    """
    best = Minimum(within.project(start.double()), np.inf, 0)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        u = torch.from_numpy(flat).view_as(start).to(start.device)
        norms = u.norm(dim=1, keepdim=True)
        shrink = (within.radius / norms).clamp(max=1)  # 0 / 0 is NaN only for a radius of 0, which no row has
        loss, gradient = loss_and_gradient(u * shrink)
        value = loss.item()
        if not np.isfinite(value):
            raise FloatingPointError(f"L-BFGS: the objective is {value}")
        along = (u * gradient).sum(1, keepdim=True) / norms.square()
        beyond, below = norms > within.radius * (1 + EDGE), norms < within.radius * (1 - EDGE)
        along = torch.where(beyond, along, torch.where(below, 0.0, along.clamp(max=0)))
        return value, (shrink * (gradient - along * u)).flatten().cpu().numpy()

    taken = 0

    def after(intermediate_result: optimize.OptimizeResult) -> None:
        nonlocal taken
        taken += 1
        report(taken, intermediate_result.fun)
        if intermediate_result.fun < threshold:
            raise StopIteration

    while taken < iterations:
        left = iterations - taken
        found = optimize.minimize(
            objective,
            best.features.flatten().cpu().numpy(),
            jac=True,
            method="L-BFGS-B",
            bounds=optimize.Bounds(0, np.inf) if within.nonnegative else None,
            callback=after,
            # the callback alone ends it early: no tolerance on the value or on the gradient
            options={"maxiter": left, "maxfun": 2 * left, "maxcor": history, "ftol": 0, "gtol": 0},
        )
        features = within.project(torch.from_numpy(found.x).view_as(start).to(start.device))
        lower = found.fun < best.value
        if lower:
            best = Minimum(features, float(found.fun), taken)
        if not lower or found.fun < threshold:
            break
    return best
