"""GradPC, gradient-based parameter corruption (Sun et al., 2020; paper, sections 3.3 and 4.1): the target
head, stage 1.

One step of length eps_w away from the clean head, along a gradient of the training loss. The paper leaves
open which gradient. It is taken over all training rows from the feature cache (gradpc_feature.py) or from the
images through the encoder (gradpc_input.py), which up to rounding are the same; or, as in the attack's own
code, over one mini-batch (gradpc_minibatch.py). At a well-trained head the gradient over all rows is mostly
what the optimiser left over, and hardly points where a mini-batch's does.
"""

from typing import Any

from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from featpoison.attacks.attack import Made
from featpoison.attacks.operations import Sizes, Work
from featpoison.attacks.target_heads import describe
from featpoison.common.settings import Settings
from featpoison.downstream.task import Task
from featpoison.softmax import Head


class GradPC(Settings):
    """One step of parameter corruption."""

    eps_w: PositiveFloat = 1.0
    """L2 length of the step away from the clean head (paper: 1)."""
    minibatch: PositiveInt = 64
    """Rows of the mini-batch of gradpc-minibatch (the attack's authors: 64)."""
    draws: PositiveInt = 5
    """Mini-batches drawn, each of which gives a target head; poison seed s aims at head s modulo `draws`."""


def target_head(head: Head, gradient: Tensor, eps_w: float) -> Head:
    """omega_hat = omega + eps_w g / ||g||_2, with g (C, d+1) a training gradient at `head`.

    Raises ValueError where g is zero or not finite: a fully converged head has no direction of ascent.
    """
    length = gradient.norm()
    if not (length > 0 and length.isfinite()):
        raise ValueError(
            f"GradPC: the gradient has length {length.item()}, expected a positive finite number"
        )
    return Head.from_omega(head.omega + eps_w * (gradient / length).to(head.omega))


def corrupted(
    name: str, task: Task, clean: Head, gradients: list[Tensor], *, eps_w: float, train: Tensor
) -> Made:
    """The target `name`: heads one step away from `clean`, along each of `gradients`.

    `train` (N, d): the training features of `task`, as the attack sees them.
    """
    heads = [target_head(clean, gradient, eps_w) for gradient in gradients]
    return describe(task, name, heads, clean, train=train, eps_w=eps_w, scale=1.0)


def work(sizes: Sizes, settings: Any, n: float) -> Work:
    """Gradients of the head, from the feature cache: nothing beside the other steps."""
    return Work()


def memory(sizes: Sizes, settings: Any, n: float) -> float:
    """The features, once in float64."""
    return sizes.held(features=5)
