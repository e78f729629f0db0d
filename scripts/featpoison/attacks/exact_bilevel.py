"""Exact bilevel poisoning (this project; not in the paper): the victim is solved to its certificate at every
step of the poisons.

The head is convex and small, so eq. 5 of the paper needs no approximation: with omega* the minimiser on clean
rows and poisons, the leader's loss Lambda (clean training loss, summed) has the total derivative in a
poison's features z

    D Lambda = - 1/rows d/dz <q, head_gradient(z)>,   q = H^-1 grad_omega Lambda,

with H the mean Hessian with its ridge at omega*,

by the implicit function theorem. One Newton solver follows omega* from step to step. The attack moves
features (exact_feature.py) or images (exact_input.py).
"""

import torch
from torch import Tensor

from featpoison import softmax
from featpoison.softmax import Head
from featpoison.solvers.newton import Converged, Newton
from featpoison.solvers.training_sets import TrainingSets


class Bilevel:
    """The objective -Lambda, exact in the features of the last pass."""

    comparable = True

    def __init__(
        self,
        clean: tuple[Tensor, Tensor],
        poisons: tuple[Tensor, Tensor],
        victim: Converged,
        *,
        classes: int,
        tolerance: float,
    ) -> None:
        """`clean` and `poisons` are features (N, d), (n, d) with labels (N,), (n,); computes in float64.

        `tolerance` is the largest relative residual of q.
        """
        sets = TrainingSets(*clean, poisons[0].unsqueeze(0), poisons[1].unsqueeze(0))
        self.newton, self.tolerance = Newton(sets, victim), tolerance
        self.omega = self.newton.sets.clean.new_zeros(1, classes, clean[0].shape[1] + 1)
        self.q = torch.zeros_like(self.omega)

    def gradient(self, block: slice, features: Tensor) -> Tensor:
        """-D Lambda in the features of the rows in `block`; the first block of a pass retrains the victim
        first."""
        self.newton.move_poisons(block, features)
        if block.start == 0:
            self._retrain_victim_and_solve_for_q()
        sets = self.newton.sets
        z, labels = sets.poisons[0, block], sets.poison_labels[0, block]
        return (softmax.feature_gradient(z, labels, self.head, self.q[0]) / sets.rows).to(features)

    def _retrain_victim_and_solve_for_q(self) -> None:
        sets = self.newton.sets
        self.omega, _ = self.newton.minimise(self.omega)
        leader = softmax.head_gradient(sets.clean, sets.clean_labels, self.head).unsqueeze(0)
        self.q = self.newton.solve(self.omega, leader, self.tolerance, start=self.q)

    @property
    def head(self) -> Head:
        """The victim as it is now."""
        return Head.from_omega(self.omega[0])

    def value(self) -> float:
        """-Lambda."""
        sets = self.newton.sets
        return -softmax.loss(sets.clean, sets.clean_labels, self.head).item()

    def state(self) -> dict[str, Tensor]:
        """The victim, q and the features; the solver's inverse is dropped, so that a run which resumes
        computes what an undisturbed one does."""
        self.newton.forget()
        return {"omega": self.omega, "q": self.q, "features": self.newton.sets.poisons}

    def load(self, state: dict[str, Tensor]) -> None:
        """All of these from `state`."""
        self.omega, self.q = (state[name].to(self.omega) for name in ("omega", "q"))
        self.newton.set_poisons(state["features"])
