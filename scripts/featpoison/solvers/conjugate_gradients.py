"""Preconditioned conjugate gradients for many linear systems at once.

The method is that of Hestenes and Stiefel (1952) in its preconditioned form (Saad, Iterative Methods for
Sparse Linear Systems, 2003, algorithm 9.1). A vector has the shape of a head's parameters, (C, d+1); leading
dimensions number the systems.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Operator = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Solution:
    """What `solve` found for systems A x = b."""

    x: Tensor
    """The solutions (..., C, d+1)."""
    relative_residual: Tensor
    """||b - A x|| / ||b|| of each system, (..., 1, 1); the residual is that of the method's recurrence."""
    products: int
    """How many times vectors were multiplied with A, all systems at once."""


def dot(first: Tensor, second: Tensor) -> Tensor:
    """Inner products of vectors (..., C, d+1), with the shape (..., 1, 1)."""
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
    """Solve A x = b for symmetric, positive definite A until each relative residual is at most `tolerance`.

    `product` takes x (..., C, d+1) to A x, for all systems at once. `b`: right-hand sides (..., C, d+1).
    `tolerance`: one number, or one for each system (..., 1, 1). `start`: where to begin, zero without it.
    `precondition` takes a residual to an approximation of A^-1 times it, and has to be linear, symmetric and
    positive definite.

    Each iteration takes one product, and a `start` takes one more. Systems that are solved do not move while
    others go on. Nothing is raised where `iterations` are not enough: the last iterate comes back, and the
    caller compares `relative_residual` with what it needs.
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
