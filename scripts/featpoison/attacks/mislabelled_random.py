"""mislabelled-random (a baseline): copies of random training images, each with a random wrong label."""

from typing import Any

import torch
from torch import Tensor

from featpoison.attacks.attack import Attack, Made, Run
from featpoison.attacks.mislabelled import Mislabelled, copies, memory_of_copies, random_rows
from featpoison.attacks.operations import Sizes, Work
from featpoison.common.seeds import stream
from featpoison.downstream.task import read_task


def random_wrong_labels(labels: Tensor, classes: int, seed: int) -> Tensor:
    """For each of the `labels` (n,) one of the other C - 1 classes, all equally likely, (n,)."""
    generator = stream(seed, 0, device=torch.device("cpu"))
    ahead = torch.randint(1, classes, labels.shape, generator=generator)
    return (labels + ahead) % classes


def run(given: Run) -> Made:
    """Images, feature cache -> copies with random wrong labels."""
    task = read_task(given.files["features"])
    rows = random_rows(task, given)
    return copies(task, given, rows, random_wrong_labels(task.train_labels[rows], task.classes, given.seed))


def work(sizes: Sizes, settings: Any, n: float) -> Work:
    """Nothing is computed."""
    return Work(bytes=n * sizes.image_bytes)


def memory(sizes: Sizes, settings: Any, n: float) -> float:
    """The copies and the feature cache."""
    return memory_of_copies(sizes, n)


ATTACK = Attack(
    name="mislabelled-random",
    title="Baseline: wrong labels, random",
    makes="images",
    settings=Mislabelled,
    needs=("images", "features"),
    run=run,
    work=work,
    memory=memory,
    section="mislabelled",
    gpu=False,
)
