"""The preconditioner of the converged victim's linear systems: an inverse for each class of each problem.

The Hessian of the mean loss with its ridge couples the classes through p p^T. Without that coupling it falls
into C blocks, one a class,

    H_c = 1/rows sum p_c (1 - p_c) z z^T + ridge I                       (d+1, d+1),

which cost C d^2 operations a row where the whole Hessian costs C^2 d^2 / 2, and whose inverses C d^3 where
its inverse costs C^3 d^3. The coupling decides one direction that the blocks get wrong: the same vector added
to all classes changes no probability, so there H is the ridge alone. The preconditioner is exact there, and
takes the blocks for the rest: with M the mean over classes,

    residual -> (I - M) diag(H_c^-1) (I - M) residual + M residual / ridge.

It is linear, symmetric and positive definite, as conjugate gradients ask.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from featpoison import softmax
from featpoison.common.seeds import stream
from featpoison.softmax import Head
from featpoison.solvers.training_sets import TrainingSets

SAMPLED = 16
"""About how many clean rows, at most, the blocks are summed over for each of the d + 1 columns. From so many
that count alike, the eigenvalues of a block are right to about a half (Vershynin, High-Dimensional
Probability, 2018, theorem 4.6.1), which costs conjugate gradients a few iterations."""
EQUAL_CHANCES = 0.1
"""Share of these rows that is drawn with equal chances. The rest is drawn with chances in proportion to the
rows' weights in the blocks (Xu et al., Sub-sampled Newton methods with non-uniform sampling, 2016): a head
that is nearly trained is sure of most rows, so that these have hardly any weight."""
LEAST_WORTH = 12
"""Iterations with old inverses that are always tried before new ones are computed: about what computing them
costs even where d is small (measured, d = 128)."""
LARGEST = 8e9
"""Most bytes of all inverses of a preconditioner. Beyond that there is none."""
NOT_FINITE = "converged victim: the Hessian is not finite, expected finite features"
ROUNDING = 1e-6
"""Added to the diagonal of a block, times the mean diagonal of its clean part. Sums in float32 may be wrong
by more, so it grows tenfold until the block is positive definite."""


def fit(K: int, classes: int, width: int) -> bool:
    """Whether the inverses of K problems with heads (C, `width`) are small enough to be kept."""
    return 8 * K * classes * width**2 <= LARGEST


class ClassInverses:
    """The inverses of K problems, which may be a few Newton steps old or those of another problem."""

    def __init__(self, sets: TrainingSets, rough: Tensor, ridge: float, first: Tensor | None = None) -> None:
        """Computes nothing yet. `rough` (N, d) are the clean rows of `sets` in float32. `first`
        (C, d+1, d+1), where given, are the inverses that all problems begin with."""
        self.sets, self.rough, self.ridge = sets, rough, ridge
        N, d = rough.shape
        most = SAMPLED * (d + 1)
        self.lots: Tensor | None = None
        if most < N:
            self.lots = torch.rand(N, generator=stream(0, device=torch.device("cpu"))).to(rough.device)
        # 2 C m (d+1)^2 operations of new inverses, against 4 C N (d+1) of a product; three quarters, measured
        self.worth = max(LEAST_WORTH, round(0.75 * min(N, most) * (d + 1) / max(1, 2 * N)))
        self.inverses: list[Tensor | None] = [first] * len(sets.poisons)  # (C, d+1, d+1) each

    def forget(self) -> None:
        """Drop the inverses."""
        self.inverses = [None] * len(self.sets.poisons)

    def known(self, which: list[int]) -> bool:
        """Whether there are inverses of all problems `which`."""
        return all(self.inverses[k] is not None for k in which)

    def renew(self, k: int, omega: Tensor) -> None:
        """The inverses of problem k at omega (C, d+1), float64."""
        sample = Rows(self.rough) if self.lots is None else drawn(self.rough, omega, self.lots)
        self.inverses[k] = inverses_of(sample, self.sets, k, omega, self.ridge)

    def of(self, which: list[int]) -> "Preconditioner":
        """The preconditioner of the problems `which`."""
        return Preconditioner(torch.stack([self._known(k) for k in which]), self.ridge)

    def _known(self, k: int) -> Tensor:
        inverse = self.inverses[k]
        assert inverse is not None
        return inverse


class Preconditioner:
    """An approximation of the K inverse Hessians, as a function of residuals (K, C, d+1)."""

    def __init__(self, inverses: Tensor, ridge: float) -> None:
        self.inverses, self.ridge = inverses, ridge  # (K, C, d+1, d+1)

    def __call__(self, residual: Tensor) -> Tensor:
        """The residual (K, C, d+1) times the approximation."""
        shared = residual.mean(-2, keepdim=True)
        own = (self.inverses @ (residual - shared).unsqueeze(-1)).squeeze(-1)
        return own - own.mean(-2, keepdim=True) + shared / self.ridge


@dataclass(frozen=True)
class Rows:
    """Rows that stand for more rows."""

    X: Tensor
    """Their features (m, d)."""
    counts: Tensor | None = None
    """How many rows each stands for (m,); one without it."""


def drawn(X: Tensor, omega: Tensor, lots: Tensor) -> Rows:
    """Of the rows of X (N, d) those that are drawn for the blocks at omega (C, d+1), about SAMPLED (d + 1).

    A row is drawn where its chance is above its lot; `lots` (N,) lie between 0 and 1. So one head draws the
    same rows each time, and sums over them, each counted 1 / chance times, expect the sums over all rows.
    Raises FloatingPointError where features are not finite.
    """
    P = softmax.probabilities(X, Head.from_omega(omega.to(X)))
    weights = (P * (1 - P)).sum(-1)
    total = weights.sum()
    if not total.isfinite():
        raise FloatingPointError(NOT_FINITE)
    tiny = torch.finfo(total.dtype).tiny  # a head can be sure of all rows
    share = (1 - EQUAL_CHANCES) * weights / total.clamp(min=tiny) + EQUAL_CHANCES / len(X)
    chances = (SAMPLED * omega.shape[-1] * share).clamp(max=1)
    chosen = lots < chances
    return Rows(X[chosen], 1 / chances[chosen])


def inverses_of(sample: Rows, sets: TrainingSets, k: int, omega: Tensor, ridge: float) -> Tensor:
    """The inverses (C, d+1, d+1) of problem k of `sets` at omega (C, d+1), float64, with a larger diagonal.

    They are only a preconditioner. Sums over a float32 `sample` of the clean rows are therefore good enough.
    Poisons are few and may be hundreds of times longer, so that float32 would lose the clean part beside
    them: they are summed in float64, all of them. Raises FloatingPointError where features are not finite.
    """
    clean = _sum_of_blocks(sample, omega) / sets.rows
    H = clean + _sum_of_blocks(Rows(sets.poisons[k]), omega) / sets.rows
    if not H.isfinite().all():
        raise FloatingPointError(NOT_FINITE)
    H.diagonal(dim1=-2, dim2=-1).add_(ridge)
    shift = ROUNDING * clean.diagonal(dim1=-2, dim2=-1).mean(-1)  # (C,)
    shift = shift.clamp(min=torch.finfo(shift.dtype).tiny)  # none where a head is sure of all rows
    while True:  # ends: a large enough diagonal makes any finite matrix positive definite
        H.diagonal(dim1=-2, dim2=-1).add_(shift.unsqueeze(-1))
        factor, failed = torch.linalg.cholesky_ex(H)
        if not failed.any():
            return torch.cholesky_inverse(factor)
        shift = 10 * shift


def _sum_of_blocks(rows: Rows, omega: Tensor) -> Tensor:
    """`softmax.class_hessians` at omega (C, d+1), float64 (C, d+1, d+1), a few rows at a time: each row takes
    C (d+1) numbers."""
    X, counts = rows.X, rows.counts
    head = Head.from_omega(omega.to(X))
    total = torch.zeros(*omega.shape, omega.shape[-1], dtype=torch.float64, device=X.device)
    for first in range(0, len(X), ROWS_AT_ONCE):
        some = slice(first, first + ROWS_AT_ONCE)
        total += softmax.class_hessians(X[some], head, None if counts is None else counts[some])
    return total


ROWS_AT_ONCE = 512
"""Rows whose weighted copies, one a class, are held together."""
