r"""The mathematics of the softmax head, in one place.

Conventions. X (n, d) are features, labels are integers (n,) in 0 ... C-1, a head has the weight W (C, d) and
the bias b (C,). The bias is the last column of omega = [W, b]. It belongs to a feature that is always 1 and
is never optimised: Z = [X, 1] (n, d+1). Losses and gradients are sums over rows, never means. Every function
also takes leading batch dimensions that broadcast, such as X (..., n, d) with W (..., C, d). Any float type
and any device will do; results have those of the arguments.

Arrays (..., n, C) are computed and stored as (..., C, n), rows last, and returned as transposed views: on a
CPU softmax over ten neighbouring numbers takes ten times as long as over ten long rows, and heads that share
their X become one large product. Nothing but speed depends on it.

Derivation. For one row let s = W x + b, p = softmax(s), y the one-hot label, l = log sum_k exp s_k - s_y:

    dl/ds = p - y                 gradient in omega, summed:      (P - Y)^T Z
    d2l/ds2 = diag(p) - p p^T     Hessian-vector product with V:  (P * (S' - rowsum(P * S')))^T Z,
                                                                  S' = Z V^T

For a fixed matrix R (C, d+1) let u = R z, the row of U = Z R^T that belongs to z. Then <R, grad_omega l> = (p
- y) . u, and with R = [R_x, r] its gradient in x is

    d/dx (p - y) . u = R_x^T (p - y) + W^T j,                                                       (*)
    j = (diag(p) - p p^T) u,    the rows of J = P * (U - rowsum(P * U))

This is all that the attacks need: gradient canceling (R is the residual), TGDA and the exact bilevel attack
(R = -H^-1 grad l1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy.special import lambertw
from torch import Tensor

from featpoison.common.row_blocks import row_blocks


@dataclass(frozen=True)
class Head:
    """A linear head: weight (..., C, d) and bias (..., C)."""

    weight: Tensor
    bias: Tensor

    @property
    def omega(self) -> Tensor:
        """[W, b], (..., C, d+1), the bias last."""
        return torch.cat([self.weight, self.bias.unsqueeze(-1)], dim=-1)

    @classmethod
    def from_omega(cls, omega: Tensor) -> Head:
        """The head whose joined parameters are `omega` (..., C, d+1), the bias last."""
        return cls(weight=omega[..., :-1], bias=omega[..., -1])

    def to(self, other: Tensor | torch.device | torch.dtype) -> Head:
        """The head on another device or in another type, or both, where `other` is a tensor, as that one."""
        return Head(weight=self.weight.to(other), bias=self.bias.to(other))


def with_ones(X: Tensor) -> Tensor:
    """Z = [X, 1]: (..., n, d) -> (..., n, d+1)."""
    return F.pad(X, (0, 1), value=1.0)


def logits(X: Tensor, head: Head) -> Tensor:
    """S = X W^T + b, (..., n, C)."""
    return (head.weight @ X.mT).add_(head.bias.unsqueeze(-1)).mT


def loss(X: Tensor, labels: Tensor, head: Head) -> Tensor:
    """Cross-entropy summed over the n rows, in nats, (...)."""
    return _loss_of_logits(logits(X, head), labels)


def _loss_of_logits(S: Tensor, labels: Tensor) -> Tensor:
    return (S.mT.logsumexp(-2) - _of_labels(S, labels)).sum(-1)


def _of_labels(S: Tensor, labels: Tensor) -> Tensor:
    """The entry of S (..., n, C) at each row's label, (..., n)."""
    return S.gather(-1, labels.expand(S.shape[:-1]).unsqueeze(-1)).squeeze(-1)


def loss_and_probabilities(S: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The summed loss (...) at logits S (..., n, C), and P = softmax(S) there, (..., n, C).

    Both come from the same exponentials, which cost more than all else.
    """
    top = S.mT.amax(-2, keepdim=True)  # (..., 1, n); no exponential is larger than 1
    P = (S.mT - top).exp()
    total = P.sum(-2, keepdim=True)
    losses = (top + total.log()).squeeze(-2) - _of_labels(S, labels)
    return losses.sum(-1), P.div_(total).mT


def _softmax(S: Tensor) -> Tensor:
    """Softmax over the classes of S (..., n, C), in the layout of S."""
    return S.mT.softmax(-2).mT


def error(X: Tensor, labels: Tensor, head: Head) -> Tensor:
    """P - Y, (..., n, C): the derivative of the loss of each row in its logits."""
    return _error_of_logits(logits(X, head), labels)


def _error_of_logits(S: Tensor, labels: Tensor) -> Tensor:
    return _minus_labels(_softmax(S), labels)


def _minus_labels(P: Tensor, labels: Tensor) -> Tensor:
    """P - Y, (..., n, C)."""
    picked = labels.expand(P.shape[:-1]).unsqueeze(-2)
    return P.mT.scatter_add(-2, picked, P.new_full((), -1.0).expand(picked.shape)).mT


def _against_features(A: Tensor, X: Tensor) -> Tensor:
    """A^T [X, 1] without building [X, 1]; A (..., n, C) -> (..., C, d+1)."""
    return torch.cat([A.mT @ X, A.sum(-2).unsqueeze(-1)], dim=-1)


def head_gradient(X: Tensor, labels: Tensor, head: Head) -> Tensor:
    """The gradient of the summed loss in omega, (P - Y)^T Z, (..., C, d+1), the bias last.

    >>> head = Head(weight=torch.zeros(2, 1), bias=torch.zeros(2))
    >>> head_gradient(torch.tensor([[3.0]]), torch.tensor([0]), head)
    tensor([[-1.5000, -0.5000],
            [ 1.5000,  0.5000]])
    """
    return _against_features(error(X, labels, head), X)


def head_gradient_of_parts(parts: list[Tensor], labels: Tensor, head: Head) -> Tensor:
    """`head_gradient` (..., C, d+1) of rows that lie in several tensors X (..., n_i, d), one after the other,
    with the labels (..., sum n_i) of all: rows that many heads share and rows of each, for example."""
    S = torch.cat([logits(X, head).mT for X in parts], dim=-1).mT
    errors = _error_of_logits(S, labels).split([X.shape[-2] for X in parts], dim=-2)
    first, *others = (_against_features(E, X) for E, X in zip(errors, parts, strict=True))
    for gradient in others:
        first = first + gradient
    return first


def gradient_of_probabilities(X: Tensor, labels: Tensor, P: Tensor) -> Tensor:
    """`head_gradient` (..., C, d+1) at the head that gives the rows the probabilities P (..., n, C)."""
    return _against_features(_minus_labels(P, labels), X)


def _times_covariance(P: Tensor, U: Tensor) -> Tensor:
    """(diag(p) - p p^T) u for each row: J = P * (U - rowsum(P * U)); P, U and J (..., n, C)."""
    return (U - (P * U).sum(-1, keepdim=True)).mul_(P)


def probabilities(X: Tensor, head: Head) -> Tensor:
    """P = softmax(S), (..., n, C)."""
    return _softmax(logits(X, head))


def loss_along(S: Tensor, labels: Tensor, D: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The loss at logits S and its two derivatives in t at t = 0 as the logits go along S + t D, each (...).

    S (..., n, C), D (..., n, C). They are summed over the n rows: the loss, sum (p - y) . d and sum d .
    (diag(p) - p p^T) d, with p, y and d of each row.
    """
    value, P = loss_and_probabilities(S, labels)
    slope = (_minus_labels(P, labels) * D).sum((-2, -1))
    return value, slope, (D * _times_covariance(P, D)).sum((-2, -1))


def hessian_vector_product(X: Tensor, head: Head, vector: Tensor, *, P: Tensor | None = None) -> Tensor:
    """The Hessian of the summed loss in omega, times `vector` (..., C, d+1): (..., C, d+1).

    The Hessian does not depend on labels. To multiply many vectors at one head, compute P = probabilities(X,
    head) once and pass it: that is half of the work.
    """
    return hessian_product_of_probabilities(X, probabilities(X, head) if P is None else P, vector)


def hessian_product_of_probabilities(X: Tensor, P: Tensor, vector: Tensor) -> Tensor:
    """`hessian_vector_product` (..., C, d+1) at the head that gives the rows the probabilities P (..., n, C),
    with `vector` (..., C, d+1)."""
    return _against_features(_times_covariance(P, logits(X, Head.from_omega(vector))), X)


def hessian(X: Tensor, head: Head) -> Tensor:
    """The dense Hessian of the summed loss in omega, (C (d+1), C (d+1)).

    Rows and columns are ordered as omega.flatten(). X (n, d); batch dimensions are not possible here.
    """
    P, Z = probabilities(X, head), with_ones(X)
    classes, width = P.shape[-1], Z.shape[-1]
    H = Z.new_empty(classes, width, classes, width)
    for i in range(classes):
        for j in range(i + 1):
            weights = P[:, i] * (float(i == j) - P[:, j])
            H[i, :, j] = H[j, :, i] = Z.T @ (weights.unsqueeze(-1) * Z)
    return H.reshape(classes * width, classes * width)


def class_hessians(X: Tensor, head: Head, counts: Tensor | None = None) -> Tensor:
    """The blocks of `hessian` that belong to one class each, sum p_c (1 - p_c) z z^T, (..., C, d+1, d+1).

    `counts` (n,): how many rows each row stands for, one without it.
    """
    P, Z = probabilities(X, head).mT, with_ones(X)  # (..., C, n), (..., n, d+1)
    weights = P * (1 - P) if counts is None else P * (1 - P) * counts
    blocks = [weights[..., c, :].unsqueeze(-2) * Z.mT @ Z for c in range(weights.shape[-2])]
    return torch.stack(blocks, dim=-3)


def feature_gradient(X: Tensor, labels: Tensor, head: Head, R: Tensor) -> Tensor:
    """The gradient of <R, head_gradient(X)> in X, (..., n, d), for constant R (..., C, d+1).

    It is (P - Y) R_x + J W, equation (*) above.
    """
    return _feature_gradient_of_probabilities(X, labels, probabilities(X, head), head, R)


def _feature_gradient_of_probabilities(X: Tensor, labels: Tensor, P: Tensor, head: Head, R: Tensor) -> Tensor:
    """`feature_gradient` (..., n, d) at the head that gives the rows the probabilities P (..., n, C)."""
    J = _times_covariance(P, logits(X, Head.from_omega(R)))
    return _minus_labels(P, labels) @ R[..., :-1] + J @ head.weight


def canceling_step(X: Tensor, labels: Tensor, head: Head, clean_gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Objective and gradient of gradient canceling (paper, eq. 14), L = 1/2 ||R||^2.

    R = `clean_gradient` + head_gradient(X) is the residual. X (n, d) are the poisoned features, and
    `clean_gradient` (C, d+1) is the summed gradient of the clean rows at the same head. Returns L () and
    dL/dX (n, d). The gradient is equation (*) above, and so takes no second backward pass. Batch dimensions
    are not possible here.

    Both are computed in the type of the head, and dL/dX has that of X: features that are stored in float32
    can have their objective in float64.
    """
    R, P = clean_gradient, []
    for stored, own in row_blocks(X, labels):
        rows = stored.to(head.weight)
        P.append(probabilities(rows, head))
        R = R + gradient_of_probabilities(rows, own, P[-1])
    gradient = torch.empty_like(X)
    for (stored, own, out), p in zip(row_blocks(X, labels, gradient), P, strict=True):
        out.copy_(_feature_gradient_of_probabilities(stored.to(head.weight), own, p, head, R))
    return 0.5 * R.square().sum(), gradient


def reachability_threshold(clean_gradient: Tensor, head: Head, n_clean: int, *, ridge: float = 0.0) -> float:
    r"""tau: with fewer than tau N poisons, whatever they are, `head` cannot be made stationary.

    The threshold is this project's; it is not in the paper. In the paper's terms: a budget eps_d = n / N
    below tau is too small for the target. It is a lower bound: at or above it some budgets may still be too
    small.

    `clean_gradient` (C, d+1) is the summed gradient G of the N = `n_clean` clean rows at `head`. With `ridge`
    the victim minimises the mean loss over all N + n rows plus ridge/2 ||omega||^2. Returns infinity where no
    budget is enough.

    Derivation. For one point, <grad_omega l, omega> = sum_k p_k (s_k - s_y). Put a_k = s_k - s_y and w =
    W0((C-1)/e), where W0 is Lambert's function: w e^w = (C-1)/e. The value is at least -w if and only if

        w + sum_{k != y} (a_k + w) exp(a_k) >= 0.

    This holds: each term of the sum is at least -exp(-1-w), which is its value at a_k = -1-w, and (C-1)
    exp(-1-w) = w. Equality holds where all a_k = -1-w, so for one point the bound is sharp.

    Stationarity of mu + nu means G + sum of n such gradients + ridge (N+n) omega = 0. The inner product with
    omega gives <G, omega> + ridge (N+n) ||omega||^2 <= n w, hence

        eps_d >= (<G, omega> / N + ridge ||omega||^2) / (w - ridge ||omega||^2),

    whatever the poisons and their labels are, in feature space as in input space.
    """
    omega = head.omega.double()
    inner = (clean_gradient.double().to(omega.device) * omega).sum().item() / n_clean
    return _threshold(inner, ridge * omega.square().sum().item(), omega.shape[-2])


def threshold_of_logits(S: Tensor, labels: Tensor) -> float:
    """`reachability_threshold` of the head that gives the clean rows the logits S (N, C), without a ridge.

    A row's share of <G, omega> is (p - y) . s, so that logits are all it takes.
    """
    S = S.double()
    inner = (_error_of_logits(S, labels) * S).sum().item() / len(S)
    return _threshold(inner, 0.0, S.shape[-1])


def _threshold(inner: float, penalty: float, classes: int) -> float:
    """(inner + penalty) / (w - penalty), cut off at 0; infinity where no budget is enough."""
    w = lambertw((classes - 1) / math.e).real
    if w <= penalty:
        return math.inf if inner + penalty > 0 else 0.0
    return max(0.0, (inner + penalty) / (w - penalty))
