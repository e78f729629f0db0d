"""L-BFGS-B (Byrd, Lu, Nocedal and Zhu, 1995; scipy's implementation) over features that stay in a set.

Bounds keep entries from becoming negative. A norm cap enters by a change of variables: a row u stands for the
feature z = u min(1, r / ||u||), the projection of u to the ball. By the chain rule the gradient in u is the
gradient g in z inside of the ball, and outside of it

    r / ||u|| (g - u_hat <u_hat, g>),   u_hat = u / ||u||.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import optimize
from torch import Tensor

from featpoison.attacks.constraints import NormBall

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
    inside = within.project(start.double())

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        u = torch.from_numpy(flat).view_as(inside).to(inside.device)
        norms = u.norm(dim=1, keepdim=True)
        shrink = (within.radius / norms).clamp(max=1)  # 0 / 0 is NaN only for a radius of 0, which no row has
        loss, gradient = loss_and_gradient(u * shrink)
        value = loss.item()
        if not np.isfinite(value):
            raise FloatingPointError(f"L-BFGS: the objective is {value}")
        along = torch.where(shrink < 1, (u * gradient).sum(1, keepdim=True) / norms.square(), 0.0)
        return value, (shrink * (gradient - along * u)).flatten().cpu().numpy()

    taken = 0

    def after(intermediate_result: optimize.OptimizeResult) -> None:
        nonlocal taken
        taken += 1
        report(taken, intermediate_result.fun)
        if intermediate_result.fun < threshold:
            raise StopIteration

    found = optimize.minimize(
        objective,
        inside.flatten().cpu().numpy(),
        jac=True,
        method="L-BFGS-B",
        bounds=optimize.Bounds(0, np.inf) if within.nonnegative else None,
        callback=after,
        # the callback alone ends it early: no tolerance on the value or on the gradient
        options={"maxiter": iterations, "maxfun": 2 * iterations, "maxcor": history, "ftol": 0, "gtol": 0},
    )
    features = within.project(torch.from_numpy(found.x).view_as(inside).to(inside.device))
    return Minimum(features, float(found.fun), taken)
