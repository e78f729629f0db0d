"""GradPC, gradient-based parameter corruption (Sun et al., 2020; paper, sections 3.3 and 4.1): the target head, stage 1."""

from pydantic import PositiveFloat
from torch import Tensor

from featpoison.common.settings import Settings
from featpoison.softmax import Head


class GradPC(Settings):
    """One step of parameter corruption."""

    eps_w: PositiveFloat = 1.0
    """L2 length of the step away from the clean head (paper: 1)."""


def target_head(head: Head, gradient: Tensor, settings: GradPC) -> Head:
    """omega_hat = omega + eps_w g / ||g||_2, with g (C, d+1) the clean training gradient at `head`.

    Raises ValueError where g is zero or not finite: a fully converged head has no direction of ascent.
    """
    length = gradient.norm()
    if not (length > 0 and length.isfinite()):
        raise ValueError(f"GradPC: the clean gradient has length {length.item()}, expected a positive finite number")
    return Head.from_omega(head.omega + settings.eps_w * (gradient / length).to(head.omega))
