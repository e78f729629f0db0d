"""L-BFGS (Liu and Nocedal, 1989; torch's implementation) over features that stay in a set.

The set enters by a change of variables: a row u stands for the feature z = P(u), its projection to the set
(constraints.py). Where entries may not be negative, v = max(u, 0), else v = u; and z = v min(1, r / ||v||)
for a norm cap r. By the chain rule the gradient in v is the gradient g in z inside of the ball, and outside
of it

    r / ||v|| (g - v_hat <v_hat, g>),   v_hat = v / ||v||,

and the gradient in u is that in v where u > 0, and zero where u < 0.

Outside of the set nothing pulls a row back, even where features inside have a lower objective. So every
`ROUND` iterations L-BFGS begins again from the projected rows, if any row has left the set. On the edge of
the set the gradient is that of the inside for a row or an entry whose objective falls inwards, and that of
the outside for any other.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from featpoison.attacks.constraints import NormBall
from featpoison.common.row_blocks import row_blocks

EDGE = {torch.float64: 1e-12, torch.float32: 1e-6}
"""Relative distance from the sphere at which a row counts as on it: rounding leaves projected rows there."""
ROUND = 25
"""Iterations after which rows outside of the set are projected to it. Measured at caps, with and without
negative entries: rounds of 10 to 50 end within 6 % of each other, one long round between 6 % lower and 9 %
higher."""
VECTORS = 17
"""Tensors of the size of the features that are held beside the history, at most. In a line search torch has
12 of them; u, its gradient, the best features, those at hand and one intermediate result are the others."""
LossAndGradient = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From features (n, d) to the objective () and its gradient (n, d), a new tensor, which is overwritten."""


@dataclass(frozen=True)
class Minimum:
    """Where the minimisation ended: features (n, d), the objective there, and the iterations taken."""

    features: Tensor
    value: float
    iterations: int


class _BelowThreshold(Exception):
    """The way out of torch's loop."""


def minimise(
    loss_and_gradient: LossAndGradient,
    start: Tensor,
    *,
    within: NormBall,
    iterations: int,
    history: int,
    threshold: float,
    vectors: torch.dtype = torch.float64,
    report: Callable[[int, float], None] = lambda iteration, value: None,
) -> Minimum:
    """Minimise over features (n, d) from `start`, on the device of `start`.

    Ends at the first value below `threshold`, after `iterations`, or where a round finds no lower value.
    `history`: pairs of steps and gradients kept, of n d numbers twice each. `vectors`: the type of these and
    of the features, which the objective gets; torch and this loop hold `VECTORS` of them beside the history.
    `report(iterations, value)` is called after each round. Raises FloatingPointError where the objective is
    not finite.
    """
    best = within.project(start.to(vectors))
    zeta, lowest, taken = torch.empty_like(best), math.inf, 0
    u, optimizer = best, None

    def closure() -> float:
        nonlocal best, zeta, lowest
        u.grad = None
        _by_rows(within.project, zeta, u.detach())
        loss, gradient = loss_and_gradient(zeta)
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(f"L-BFGS: the objective is {value}")
        if value < lowest:
            best, zeta, lowest = zeta, best, value
        if value < threshold:
            raise _BelowThreshold
        _by_rows(partial(pulled_back, within=within), gradient, u.detach(), gradient)
        u.grad = gradient
        return value

    while taken < iterations:
        if optimizer is None:
            u = best.clone().requires_grad_()
            optimizer = torch.optim.LBFGS(
                [u],
                history_size=history,
                line_search_fn="strong_wolfe",
                # the objective alone ends it early
                tolerance_grad=0,
                tolerance_change=0,
            )
            counted = 0
        most = min(ROUND, iterations - taken)
        optimizer.param_groups[0] |= {"max_iter": most, "max_eval": 2 * most}
        before = lowest
        try:
            optimizer.step(closure)
        except _BelowThreshold:
            taken += optimizer.state[u]["n_iter"] - counted
            break
        taken, counted = taken + optimizer.state[u]["n_iter"] - counted, optimizer.state[u]["n_iter"]
        report(taken, lowest)
        if not lowest < before:
            break
        _by_rows(within.project, zeta, u.detach())
        if not torch.equal(zeta, u):
            optimizer = None
    return Minimum(best, lowest, taken)


def _by_rows(function: Callable[..., Tensor], out: Tensor, *arguments: Tensor) -> None:
    """Write to `out` (n, d) what a function of rows gives for the arguments (n, d). `out` may be one of
    them."""
    for rows, *parts in row_blocks(out, *arguments):
        rows.copy_(function(*parts))


def pulled_back(u: Tensor, gradient: Tensor, within: NormBall) -> Tensor:
    """The gradient in u (n, d) from that in the features z = P(u), (n, d): the chain rule at the head of this
    module. Both are float64 or float32."""
    if math.isinf(within.radius) and not within.nonnegative:
        return gradient
    v = u.clamp(min=0) if within.nonnegative else u
    norms = v.norm(dim=1, keepdim=True)
    shrink = (within.radius / norms).clamp(max=1)  # 0 / 0 is NaN only for a radius of 0, which no row has
    along = (v * gradient).sum(1, keepdim=True) / norms.square()
    edge = EDGE[u.dtype]
    beyond, below = norms > within.radius * (1 + edge), norms < within.radius * (1 - edge)
    along = torch.where(beyond, along, torch.where(below, 0.0, along.clamp(max=0)))
    result = shrink * (gradient - along * v)
    if within.nonnegative:
        result = torch.where(u > 0, result, torch.where(u < 0, 0.0, result.clamp(max=0)))
    return result
