"""How an attack moves its poisons along a gradient: plain descent or Adam (Kingma and Ba, 2015), with a
cosine step size."""

from typing import Literal

import torch
from torch import Tensor

from featpoison.common.schedules import half_cosine

Optimizer = Literal["gradient-descent", "adam"]
MOMENTUM, EPSILON = 0.9, 1e-8
SECOND_MOMENTUM = 0.999
"""Adam's usual decay of squared gradients."""


class StepRule:
    """The steps of one optimisation over `steps` passes; rows may be updated in blocks, each once a pass."""

    def __init__(
        self,
        optimizer: Optimizer,
        step_size: float,
        steps: int,
        like: Tensor,
        second_momentum: float = SECOND_MOMENTUM,
    ) -> None:
        """`step_size` is the first one, half a cosine takes it to zero; `like` has the shape of the poisons;
        `second_momentum` is Adam's decay of squared gradients."""
        self.optimizer, self.step_size, self.steps = optimizer, step_size, steps
        self.second_momentum = second_momentum
        moments = like if optimizer == "adam" else like[:0]
        self.first, self.second = torch.zeros_like(moments), torch.zeros_like(moments)

    def update(self, rows: Tensor, gradient: Tensor, step: int, block: slice = slice(None)) -> Tensor:
        """The rows of `block` after step number `step` (from 0) against their `gradient`; shapes (n, ...)."""
        rate = self.step_size * half_cosine(step, self.steps)
        if self.optimizer == "adam":
            self.first[block] = first = self.first[block].lerp(gradient, 1 - MOMENTUM)
            self.second[block] = second = self.second[block].lerp(gradient.square(), 1 - self.second_momentum)
            scale = (second / (1 - self.second_momentum ** (step + 1))).sqrt() + EPSILON
            gradient = first / (1 - MOMENTUM ** (step + 1)) / scale
        return rows - rate * gradient

    def state(self) -> dict[str, Tensor]:
        """What has to be kept to go on later."""
        return {"first_moment": self.first, "second_moment": self.second}

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from `state`."""
        self.first, self.second = (state[name].to(self.first) for name in ("first_moment", "second_moment"))
