"""Preconditioned conjugate gradients (Hestenes and Stiefel, 1952) for many systems at once, vectors shaped as heads: (..., C, d+1)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Operator = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Solution:
    """x (..., C, d+1), ||b - A x|| / ||b|| of each system (..., 1, 1), and how many products with A all of it took."""

    x: Tensor
    relative_residual: Tensor
    products: int


def dot(first: Tensor, second: Tensor) -> Tensor:
    """Inner products, (..., 1, 1)."""
    return (first * second).sum((-2, -1), keepdim=True)


def solve(
    product: Operator,
    b: Tensor,
    *,
    tolerance: float | Tensor,
    iterations: int,
    start: Tensor | None = None,
    precondition: Operator = lambda residual: residual,
) -> Solution:
    """Solve A x = b, A positive definite with `product` x -> A x, until every relative residual is at most `tolerance`.

    One product an iteration, and one for a `start` other than zero. Systems that are done do not move. Whoever needs the tolerance
    compares `relative_residual` with it: after `iterations` the last iterate is returned as it is.
    """
    size = dot(b, b).sqrt().clamp(min=torch.finfo(b.dtype).tiny)
    x = torch.zeros_like(b) if start is None else start
    residual, products = (b, 0) if start is None else (b - product(x), 1)
    z = precondition(residual)
    direction, rho = z, dot(residual, z)
    for _ in range(iterations):
        active = dot(residual, residual).sqrt() > tolerance * size
        if not active.any():
            break
        image = product(direction)
        products += 1
        alpha = torch.where(active, rho / dot(direction, image), 0.0)
        x, residual = x + alpha * direction, residual - alpha * image
        z = precondition(residual)
        following = dot(residual, z)
        direction = z + torch.where(active, following / rho, 0.0) * direction
        rho = torch.where(active, following, rho)
    return Solution(x, dot(residual, residual).sqrt() / size, products)
