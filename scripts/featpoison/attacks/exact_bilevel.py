"""Exact bilevel poisoning (this project; not in the paper): the victim is solved to its certificate at every step of the poisons.

The head is convex and small, so eq. 5 of the paper needs no approximation: with omega* the minimiser on clean rows and poisons, the
leader's loss Lambda (clean training loss, summed) has the total derivative in a poison's features z

    D Lambda = - 1/rows d/dz <q, head_gradient(z)>,   q = H^-1 grad_omega Lambda,   H the mean Hessian with its ridge at omega*,

by the implicit function theorem. One Newton solver follows omega* from step to step.
"""

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from featpoison import softmax
from featpoison.attacks.input_space import InputSpace
from featpoison.attacks.step_rules import Optimizer
from featpoison.common.settings import Settings
from featpoison.softmax import Head
from featpoison.solvers.newton import Converged, Newton
from featpoison.solvers.training_sets import Mixture


class ExactInput(InputSpace):
    """Settings of exact-input."""

    epochs: PositiveInt = 200
    """Steps of the poisons."""
    tolerance: PositiveFloat = 1e-6
    """Relative residual of q."""


class ExactFeature(Settings):
    """Settings of exact-feature."""

    epochs: PositiveInt = 200
    """Steps of the poisoned features."""
    optimizer: Optimizer = "adam"
    """Step rule."""
    step_size: PositiveFloat = 0.1
    """First step size, in units of a feature for Adam; half a cosine takes it to zero."""
    norm_cap: PositiveFloat = 1.0
    """Largest norm of a poisoned feature, in units of the mean clean norm."""
    tolerance: PositiveFloat = 1e-6
    """Relative residual of q."""

    def loop(self, count: int) -> InputSpace:
        """As settings of the loop over `count` rows: one batch, no penalty."""
        return InputSpace(epochs=self.epochs, optimizer=self.optimizer, step_size=self.step_size, batch_size=count)


class Bilevel:
    """The objective -Lambda, exact in the features of the last pass."""

    comparable = True

    def __init__(self, clean: tuple[Tensor, Tensor], poisons: tuple[Tensor, Tensor], victim: Converged, *, classes: int, tolerance: float) -> None:
        """`clean` and `poisons` are features (N, d), (n, d) with labels (N,), (n,); computes in float64."""
        mixture = Mixture(*clean, poisons[0].unsqueeze(0).clone(), poisons[1].unsqueeze(0))
        self.newton, self.tolerance = Newton(mixture, victim), tolerance
        self.omega = self.newton.mixture.clean.new_zeros(1, classes, clean[0].shape[1] + 1)
        self.q = torch.zeros_like(self.omega)

    def gradient(self, block: slice, features: Tensor) -> Tensor:
        """-D Lambda in the features of the rows in `block`; the first block of a pass solves for the victim and for q."""
        mixture = self.newton.mixture
        mixture.poisons[0, block] = features.double()
        if block.start == 0:
            self.omega, _ = self.newton.minimise(self.omega)
            leader = softmax.head_gradient(mixture.clean, mixture.clean_labels, self.head).unsqueeze(0)
            self.q = self.newton.solve(self.omega, leader, self.tolerance, start=self.q).x
        z, labels = mixture.poisons[0, block], mixture.poison_labels[0, block]
        return (softmax.feature_gradient(z, labels, self.head, self.q[0]) / mixture.rows).to(features)

    @property
    def head(self) -> Head:
        """The victim as it is now."""
        return Head.from_omega(self.omega[0])

    def value(self) -> float:
        """-Lambda."""
        return -softmax.loss(self.newton.mixture.clean, self.newton.mixture.clean_labels, self.head).item()

    def state(self) -> dict[str, Tensor]:
        """The victim, q and the features; the solver's inverse is dropped, so a run that resumes computes what an undisturbed one does."""
        self.newton.forget()
        return {"omega": self.omega, "q": self.q, "features": self.newton.mixture.poisons}

    def load(self, state: dict[str, Tensor]) -> None:
        """All of these from `state`."""
        self.omega, self.q = (state[name].to(self.omega) for name in ("omega", "q"))
        self.newton.mixture.poisons.copy_(state["features"])
