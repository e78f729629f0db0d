"""What tests of defences share: a task of three classes, and victims that are trained fast."""

import torch
from featpoison.downstream.task import Task
from featpoison.downstream.victims import Victims
from featpoison.heads import SGD100

CLASSES, WIDTH, TRAIN, TEST = 3, 8, 120, 60
QUICK = Victims(sgd100=SGD100(epochs=5, batch_size=32, tail=1), seeds=(0, 1))


def blobs(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows around one centre a class, and their labels, each class equally often."""
    generator = torch.Generator().manual_seed(seed)
    centres = 3 * torch.eye(CLASSES, WIDTH)
    labels = torch.arange(count) % CLASSES
    return centres[labels] + torch.randn(count, WIDTH, generator=generator), labels


def small_task() -> Task:
    return Task(*blobs(TRAIN, 0), *blobs(TEST, 1), CLASSES)
