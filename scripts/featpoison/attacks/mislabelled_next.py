"""mislabelled-next (a baseline): copies of random training images, each with the label of the next class."""

from typing import Any

from torch import Tensor

from featpoison.attacks.attack import Attack, Made, Run
from featpoison.attacks.mislabelled import Mislabelled, copies, memory_of_copies, random_rows
from featpoison.attacks.operations import Sizes, Work
from featpoison.downstream.task import read_task


def next_class(labels: Tensor, classes: int) -> Tensor:
    """(y + 1) mod C for each of the `labels` y (n,), (n,)."""
    return (labels + 1) % classes


def run(given: Run) -> Made:
    """Images, feature cache -> copies with the next class as label."""
    task = read_task(given.files["features"])
    rows = random_rows(task, given)
    return copies(task, given, rows, next_class(task.train_labels[rows], task.classes))


def work(sizes: Sizes, settings: Any, n: float) -> Work:
    """Nothing is computed."""
    return Work(bytes=n * sizes.image_bytes)


def memory(sizes: Sizes, settings: Any, n: float) -> float:
    """The copies and the feature cache."""
    return memory_of_copies(sizes, n)


ATTACK = Attack(
    name="mislabelled-next",
    title="Baseline: wrong labels, next class",
    makes="images",
    settings=Mislabelled,
    needs=("images", "features"),
    run=run,
    work=work,
    memory=memory,
    section="mislabelled",
    gpu=False,
)
