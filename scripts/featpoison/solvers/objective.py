"""What a converged victim minimises: mean loss + ridge/2 ||omega||^2, for K training sets at once.

The clean rows, which all sets share, are taken in blocks whose logits stay in a processor's cache, for all K
heads at once. The objective and its gradient are computed in float64. Products with the Hessian take the
clean rows' share in float32 where they are rough: Newton's method corrects them. Poisons are few and may be
hundreds of times longer, so that their share is always in float64.
"""

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from featpoison import softmax
from featpoison.softmax import Head
from featpoison.solvers.conjugate_gradients import Operator, dot
from featpoison.solvers.training_sets import TrainingSets

BLOCK, LOGITS_OF_BLOCK = 2048, 8192
"""Most clean rows of a block on a CPU, and most rows times problems, below which a block never falls under a
quarter of its rows. Elsewhere all rows are one block."""


@dataclass(frozen=True)
class Block:
    """Rows that go through the K heads together: some of the clean rows, or the poisons of each set."""

    X: Tensor
    """Features (b, d), or (K, n, d), float64."""
    labels: Tensor
    """Their labels (b,), or (K, n)."""
    rough: Tensor
    """The features in the type of rough products with the Hessian."""


@dataclass(frozen=True)
class Point:
    """The objective at one omega, and what is needed to go on from there."""

    omega: Tensor
    """The K heads (K, C, d+1), bias last."""
    logits: list[Tensor]
    """Of each block, (K, b, C)."""
    value: Tensor
    """The objective (K,)."""
    gradient: Tensor
    """Its gradient in omega (K, C, d+1)."""
    P: list[Tensor]
    """The probabilities of each block (K, b, C), in the type of its rough features."""

    @property
    def certificate(self) -> Tensor:
        """The largest absolute entry of each gradient, (K,)."""
        return self.gradient.abs().amax((1, 2))

    def only(self, which: Tensor) -> "Point":
        """The same for the problems `which` (k,)."""
        return Point(
            self.omega[which],
            [S[which] for S in self.logits],
            self.value[which],
            self.gradient[which],
            [P[which] for P in self.P],
        )


class Objective:
    """The objectives of K problems that share their clean rows."""

    def __init__(self, sets: TrainingSets, ridge: float) -> None:
        """`sets` has float64 features. Its poisons may change in place; nothing else may."""
        self.sets, self.ridge = sets, ridge
        self.rough = sets.clean.float()
        fitting = min(BLOCK, max(BLOCK // 4, LOGITS_OF_BLOCK // len(sets.poisons)))
        self.block = fitting if sets.clean.device.type == "cpu" else max(1, len(sets.clean))

    def blocks(self) -> Iterator[Block]:
        """All rows: the clean ones, and then the poisons where there are any."""
        sets = self.sets
        clean = (rows.split(self.block) for rows in (sets.clean, sets.clean_labels, self.rough))
        yield from map(Block, *clean)
        if sets.poisons.shape[1]:
            yield Block(sets.poisons, sets.poison_labels, sets.poisons)

    def only(self, which: Tensor) -> "Objective":
        """The objectives of the problems `which` (k,), with copies of their poisons. Its blocks are those of
        all, so that what a Point of all holds of a block fits."""
        sets, own = self.sets, copy(self)
        own.sets = replace(sets, poisons=sets.poisons[which], poison_labels=sets.poison_labels[which])
        return own

    def logits(self, omega: Tensor) -> list[Tensor]:
        """The logits (K, b, C) of each block at omega (K, C, d+1), float64."""
        head = Head.from_omega(omega)
        return [softmax.logits(block.X, head) for block in self.blocks()]

    def at(self, omega: Tensor) -> Point:
        """The objective at omega (K, C, d+1), float64."""
        return self.of_logits(omega, self.logits(omega))

    def of_logits(self, omega: Tensor, logits: list[Tensor]) -> Point:
        """The objective at omega (K, C, d+1), where the logits of each block (K, b, C) are known."""
        value, gradient = torch.zeros_like(omega[:, 0, 0]), torch.zeros_like(omega)
        kept = []
        for block, S in zip(self.blocks(), logits, strict=True):
            loss, P = softmax.loss_and_probabilities(S, block.labels)
            value += loss
            gradient += softmax.gradient_of_probabilities(block.X, block.labels, P)
            kept.append(P.to(block.rough))
        value = value / self.sets.rows + self.ridge / 2 * omega.square().sum((1, 2))
        return Point(omega, logits, value, gradient / self.sets.rows + self.ridge * omega, kept)

    def rough_hessian(self, point: Point) -> Operator:
        """The product of vectors (K, C, d+1) with the K Hessians at `point`, as float32 tells it."""
        return self._hessian([block.rough for block in self.blocks()], point.P)

    def hessian(self, point: Point) -> Operator:
        """The same product in float64."""
        P = [S.mT.softmax(-2).mT for S in point.logits]
        return self._hessian([block.X for block in self.blocks()], P)

    def _hessian(self, features: list[Tensor], probabilities: list[Tensor]) -> Operator:
        def product(vector: Tensor) -> Tensor:
            total, heads = torch.zeros_like(vector), {}
            for X, P in zip(features, probabilities, strict=True):
                if X.dtype not in heads:
                    heads[X.dtype] = vector.to(X.dtype)
                total += softmax.hessian_product_of_probabilities(X, P, heads[X.dtype])
            return total / self.sets.rows + self.ridge * vector

        return product

    def along(
        self, start: Point, direction: Tensor, change: list[Tensor]
    ) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]:
        """The objective and its two derivatives in t along start.omega + t `direction` (K, C, d+1).

        `change` are the logits (K, b, C) that `direction` itself would give each block, so that a t costs no
        product with features. The function takes t (k, 1, 1) and the numbers `which` (k,) of the problems
        that are asked for; its three results are (k, 1, 1).
        """
        cross, square = dot(start.omega, direction), dot(direction, direction)
        norm = dot(start.omega, start.omega)

        def at(t: Tensor, which: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            sums = torch.zeros(3, len(t), dtype=t.dtype, device=t.device)
            for block, S, D in zip(self.blocks(), start.logits, change, strict=True):
                labels = block.labels if block.labels.dim() == 1 else block.labels[which]
                sums += torch.stack(softmax.loss_along(S[which] + t * D[which], labels, D[which]))
            value, slope, curvature = (sums / self.sets.rows).view(3, -1, 1, 1)
            a, b, c = norm[which], cross[which], square[which]
            value = value + self.ridge / 2 * (a + 2 * t * b + t.square() * c)
            return value, slope + self.ridge * (b + t * c), curvature + self.ridge * c

        return at


def objective(sets: TrainingSets, omega: Tensor, ridge: float) -> Tensor:
    """Mean loss over the N + n rows plus ridge/2 ||omega||^2 of each of the K problems, (K,).

    omega (K, C, d+1), float64 as `sets`, has the bias in its last column.
    """
    head = Head.from_omega(omega)
    clean = softmax.loss(sets.clean, sets.clean_labels, head)
    own = softmax.loss(sets.poisons, sets.poison_labels, head)
    return (clean + own) / sets.rows + ridge / 2 * omega.square().sum((1, 2))
