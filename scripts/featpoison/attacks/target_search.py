"""The search for target heads that poisons can hold in place: steps of parameter corruption from heads at
several stages of training, shortened until they are reachable.

A candidate is s (omega + eps_w g / ||g||), with omega the head of a stage, g the full gradient of the
training loss there, and 0 < s <= 1. Its predictions, and so its training error, do not depend on s; its
reachability threshold does, and does not fall with s where the slope of the clean loss along the ray is
positive: tau is the positive part of s times this slope over N w, and the slope grows with s because the loss
is convex. So for each step there is one longest reachable head, which bisection finds. Only training rows are
looked at.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from featpoison import softmax
from featpoison.attacks.attack import Made
from featpoison.attacks.operations import Sizes, Work
from featpoison.attacks.target_heads import describe
from featpoison.common.settings import Settings
from featpoison.downstream.accuracy import accuracy
from featpoison.downstream.task import Task
from featpoison.downstream.trajectory import TrainedHeads, head_of
from featpoison.softmax import Head

HALVINGS = 20


class TargetSearch(Settings):
    """Which heads are looked at, and which of them count as reachable."""

    share: float = Field(0.3, gt=0, le=1)
    """A head counts as reachable at a budget eps_d where its threshold tau is at most this share of eps_d.
    tau is a lower bound, so that a head with a tau just below eps_d may still be out of reach."""
    least_scale: float = Field(0.25, gt=0, le=1)
    """Smallest s: the shorter a head, the longer are the poisoned features that hold it."""
    smallest_step: PositiveFloat = 0.25
    """Smallest eps_w."""
    largest_step: PositiveFloat = 32.0
    """Largest eps_w."""
    steps_per_octave: PositiveInt = 4
    """Values of eps_w between one and its double."""

    @property
    def steps(self) -> list[float]:
        """The values of eps_w."""
        octaves = math.log2(self.largest_step / self.smallest_step)
        count = round(octaves * self.steps_per_octave)
        return [self.smallest_step * 2 ** (k / self.steps_per_octave) for k in range(count + 1)]


@dataclass(frozen=True)
class Candidate:
    """A reachable head and how it was made."""

    stage: int
    """Of the trajectory."""
    eps_w: float
    scale: float
    training_error: float


def limit_of(settings: TargetSearch, budget: float) -> float:
    """The largest threshold that counts as reachable at a budget eps_d."""
    return settings.share * budget


def logits_of_step(train: Tensor, head: Head, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """The logits (N, C), float64, of `head` and of the direction g / ||g||: a step eps_w has their sum, the
    second eps_w times."""
    X = train.double()
    return softmax.logits(X, head.to(X)), softmax.logits(
        X, Head.from_omega((gradient / gradient.norm()).to(X))
    )


def longest_reachable(S: Tensor, labels: Tensor, limit: float, least: float = 0.0) -> float | None:
    """The largest scale s <= 1 at which the head with logits S (N, C) has a threshold of at most `limit`;
    None where it is below `least`. Right to 2^-20."""
    if softmax.threshold_of_logits(S, labels) <= limit:
        return 1.0
    low, high = least, 1.0
    if softmax.threshold_of_logits(low * S, labels) > limit:
        return None
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if softmax.threshold_of_logits(middle * S, labels) <= limit:
            low = middle
        else:
            high = middle
    return low


def reachable_heads(
    task: Task, heads: TrainedHeads, settings: TargetSearch, limit: float
) -> Iterator[Candidate]:
    """For each stage and each eps_w the longest head whose threshold is at most `limit`."""
    for stage, gradient in enumerate(heads.gradient):
        base, direction = logits_of_step(task.train, Head.from_omega(heads.omega[stage]), gradient)
        for eps_w in settings.steps:
            S = base + eps_w * direction
            scale = longest_reachable(S, task.train_labels, limit, settings.least_scale)
            if scale is not None:
                error = (S.argmax(1) != task.train_labels).double().mean().item()
                yield Candidate(stage, eps_w, scale, error)


def head_of_candidate(heads: TrainedHeads, found: Candidate) -> Head:
    """s (omega + eps_w g / ||g||), float32."""
    gradient = heads.gradient[found.stage]
    stepped = heads.omega[found.stage] + found.eps_w * gradient / gradient.norm()
    return Head.from_omega(found.scale * stepped)


def made_of(name: str, task: Task, heads: TrainedHeads, chosen: Candidate, **facts: Any) -> Made:
    """The product of the choice of target `name`: which stage, which step, which scale."""
    facts |= {"eps_w": chosen.eps_w, "scale": chosen.scale}
    facts |= {
        "step_size": round(heads.step_size[chosen.stage].item(), 9),
        "epochs": int(heads.epochs[chosen.stage]),
    }
    return describe(task, name, [head_of_candidate(heads, chosen)], head_of(heads, chosen.stage), **facts)


def work(sizes: Sizes, settings: Any, n: float) -> Work:
    """Passes over logits: nothing beside the other steps."""
    return Work()


def memory(sizes: Sizes, settings: Any, n: float) -> float:
    """The features, once in float64."""
    return sizes.held(features=5)


def measure_steps(task: Task, heads: TrainedHeads, steps: list[float]) -> dict[str, np.ndarray]:
    """What a step of parameter corruption costs and whether it is reachable, for each stage of training, each
    gradient and each of E lengths.

    Gradients are the one over all rows, and those of D mini-batches. Arrays by name: tau, training_error and
    accuracy, (S, 1 + D, E) each, the full gradient first; errors and accuracies are shares of the training
    and test rows. clean_accuracy (S,): of the heads themselves, on the test rows. eps_w (E,).

    For a figure; nothing is chosen here, and the search does not read it.
    """
    measured: dict[str, list[float]] = {"tau": [], "training_error": [], "accuracy": []}
    clean = []
    for stage, omega in enumerate(heads.omega):
        head = Head.from_omega(omega)
        clean.append(accuracy(task.test, task.test_labels, omega).item())
        for gradient in torch.cat([heads.gradient[stage : stage + 1], heads.minibatch_gradients[stage]]):
            train, test = (logits_of_step(rows, head, gradient) for rows in (task.train, task.test))
            for eps_w in steps:
                S, T = train[0] + eps_w * train[1], test[0] + eps_w * test[1]
                measured["tau"].append(softmax.threshold_of_logits(S, task.train_labels))
                wrong, right = S.argmax(1) != task.train_labels, T.argmax(1) == task.test_labels
                measured["training_error"].append(wrong.double().mean().item())
                measured["accuracy"].append(right.double().mean().item())
    shape = len(heads.omega), 1 + heads.minibatch_gradients.shape[1], len(steps)
    arrays = {name: np.array(values).reshape(shape) for name, values in measured.items()}
    return arrays | {"clean_accuracy": np.array(clean), "eps_w": np.array(steps)}
