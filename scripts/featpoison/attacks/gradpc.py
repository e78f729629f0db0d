"""GradPC, gradient-based parameter corruption (Sun et al., 2020; paper, sections 3.3 and 4.1): the target
head, stage 1.

The gradient is taken from the feature cache (gradpc_feature.py) or from the images through the encoder
(gradpc_input.py); up to rounding the two are the same.
"""

from pydantic import PositiveFloat
from torch import Tensor

from featpoison import softmax
from featpoison.attacks.attack import Made, Run
from featpoison.common.settings import Settings
from featpoison.downstream.accuracy import accuracy
from featpoison.downstream.stored_heads import read_clean_head
from featpoison.downstream.task import Task
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
        raise ValueError(
            f"GradPC: the clean gradient has length {length.item()}, expected a positive finite number"
        )
    return Head.from_omega(head.omega + settings.eps_w * (gradient / length).to(head.omega))


def corrupt(run: Run, task: Task, train: Tensor) -> Made:
    """The target head from the training features `train` (N, d) of `task`, with the clean gradient at it, its
    test accuracy and its reachability threshold."""
    clean = read_clean_head(run.files["clean"])
    gradient = softmax.head_gradient(train.double(), task.train_labels, clean.to(train.double()))
    target = target_head(clean, gradient, run.settings)
    G = softmax.head_gradient(train, task.train_labels, target)
    facts = {
        "accuracy": accuracy(task.test, task.test_labels, target.omega).item(),
        "clean_accuracy": accuracy(task.test, task.test_labels, clean.omega).item(),
        "tau": softmax.reachability_threshold(G, target, len(train)),
        "eps_w": run.settings.eps_w,
    }
    return Made({"omega": target.omega.numpy(), "clean_gradient": G.numpy()}, facts)
