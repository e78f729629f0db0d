"""Heads at several stages of training, from a few epochs with small steps to the victims' protocol.

How far the clean head was trained, which the paper does not state, decides whether a step of parameter
corruption leads to a head that poisons can hold in place (`softmax.reachability_threshold`). The search for a
target head begins at these heads, and a figure shows what each of them allows.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from featpoison import softmax, store
from featpoison.common.seeds import stream
from featpoison.common.settings import Settings
from featpoison.downstream.accuracy import accuracy
from featpoison.downstream.task import Task
from featpoison.heads import SGD100, train
from featpoison.softmax import Head


class Trajectory(Settings):
    """The stages of training, each a training of its own from the same initial head, and the mini-batches
    whose gradients are taken there."""

    step_sizes: tuple[PositiveFloat, ...] = (0.001, 0.01, 0.1)
    """First step sizes of SGD."""
    epochs: tuple[PositiveInt, ...] = (10, 30, 100)
    """Epochs, for each step size."""
    batch_size: PositiveInt = 256
    """Rows a step."""
    seed: int = 0
    """Seed of the initial head and of the order of rows."""
    minibatch: PositiveInt = 64
    """Rows of a mini-batch whose gradient is taken at each head."""
    draws: PositiveInt = 3
    """Mini-batches, the same ones at all heads."""


@dataclass(frozen=True)
class TrainedHeads:
    """S heads with C classes and d features, and gradients of the training loss at each."""

    omega: Tensor
    """The heads (S, C, d+1), bias last."""
    step_size: Tensor
    """First step size of each (S,)."""
    epochs: Tensor
    """Epochs of each (S,)."""
    training_error: Tensor
    """Share of the training rows that each head gets wrong (S,)."""
    gradient: Tensor
    """Summed over all training rows (S, C, d+1)."""
    minibatch_gradients: Tensor
    """Summed over the rows of each of D mini-batches (S, D, C, d+1)."""

    def arrays(self) -> dict[str, np.ndarray]:
        """All of these by name, as the file holds them."""
        return {name: tensor.numpy() for name, tensor in vars(self).items()}


def train_heads(task: Task, settings: Trajectory) -> TrainedHeads:
    """Train a head at each stage, on the CPU, and take the gradients there, in float64 and stored as
    float32."""
    stages = [(size, epochs) for size in settings.step_sizes for epochs in settings.epochs]
    exact = task.train.double()
    draws = [
        torch.randperm(len(exact), generator=stream(draw, device=torch.device("cpu")))[: settings.minibatch]
        for draw in range(settings.draws)
    ]
    heads, full, small = [], [], []
    for size, epochs in stages:
        victim = SGD100(learning_rate=size, epochs=epochs, batch_size=settings.batch_size, tail=1)
        head = train(task.train, task.train_labels, victim, classes=task.classes, seed=settings.seed)
        heads.append(head.omega)
        at = head.to(exact)
        full.append(softmax.head_gradient(exact, task.train_labels, at))
        small.append(
            torch.stack([softmax.head_gradient(exact[rows], task.train_labels[rows], at) for rows in draws])
        )
    omega = torch.stack(heads)
    return TrainedHeads(
        omega=omega,
        step_size=torch.tensor([size for size, _ in stages]),
        epochs=torch.tensor([epochs for _, epochs in stages]),
        training_error=1 - accuracy(task.train, task.train_labels, omega),
        gradient=torch.stack(full).float(),
        minibatch_gradients=torch.stack(small).float(),
    )


def read_trajectory(path: Path) -> TrainedHeads:
    """The heads in a file that `train_heads` filled, on the CPU.

    Raises FileNotFoundError or StoreError, naming the file, where it is missing or damaged.
    """
    names = [field.name for field in fields(TrainedHeads)]
    return TrainedHeads(**{name: torch.from_numpy(array) for name, array in store.read(path, *names).items()})


def head_of(heads: TrainedHeads, stage: int) -> Head:
    """The head of one stage."""
    return Head.from_omega(heads.omega[stage])
