"""What defences share that rank rows by how suspicious they are, and remove a set share of them."""

import numpy as np
import torch
from pydantic import Field
from scipy.sparse.linalg import LinearOperator, svds
from torch import Tensor

from featpoison.common.settings import Settings


class Ranking(Settings):
    """Settings of a defence that removes the most suspicious rows."""

    share: float = Field(0.1, gt=0, lt=1)
    """Share of the training set that is removed: an upper bound on the share of poisons, as the defender
    assumes it. A budget eps_d is a share of eps_d / (1 + eps_d)."""


def removed_count(share: float, rows: int) -> int:
    """How many of `rows` are removed: round(share rows)."""
    return round(share * rows)


def least(scores: Tensor, removed: int) -> Tensor:
    """Rows (n - removed,), ascending, of all but the `removed` largest scores (n,); of equal ones the first
    rows stay."""
    order = scores.argsort(stable=True)
    return order[: len(scores) - removed].sort().values


def top_direction(operator: LinearOperator) -> np.ndarray:
    """The right singular vector of the largest singular value of an (n, q) operator, float64 (q,), up to its
    sign. It begins at a fixed vector, so that it repeats."""
    rows, columns = operator.shape
    start = np.random.default_rng(0).standard_normal(min(rows, columns))
    return svds(operator, k=1, v0=start, return_singular_vectors="vh", random_state=0)[2][0]


def principal_direction(X: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (d,) of the rows X (n, d), and v (d,), the top right singular vector of the centred rows;
    float64."""
    mean = X.double().mean(0)
    (_, _, directions) = torch.linalg.svd(X.double() - mean, full_matrices=False)
    return mean, directions[0]


def squared_projections(X: Tensor) -> Tensor:
    """((x - mean) . v)^2 of each row of X (n, d), float64 (n,), v the top right singular vector of the
    centred rows."""
    mean, direction = principal_direction(X)
    return ((X.double() - mean) @ direction).square()
