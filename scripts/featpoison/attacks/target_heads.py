"""What every file of target heads holds, whichever way the heads were chosen."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from featpoison import softmax
from featpoison.attacks.attack import Made
from featpoison.downstream.accuracy import accuracy
from featpoison.downstream.task import Task
from featpoison.softmax import Head


def describe(
    task: Task, name: str, heads: list[Head], clean: Head, *, train: Tensor | None = None, **facts: Any
) -> Made:
    """The product of the target `name`: D heads, with the clean gradient G at each, and what they cost.

    `clean` is the head that they were made from. `train` (N, d) are the training features as the attack sees
    them, without it those of `task`. `facts` say how the heads were chosen.

    Arrays, by head: omega and clean_gradient (D, C, d+1), G summed over the clean rows; tau (D,), the
    reachability threshold; training_error and accuracy (D,), shares of the training and the test rows. The
    facts tau, training_error and accuracy are means over the heads; clean_accuracy is that of `clean`. Test
    rows enter only what is reported, never a choice.
    """
    rows = task.train if train is None else train
    omega = torch.stack([head.omega for head in heads]).float()
    gradients = torch.stack(
        [softmax.head_gradient(rows, task.train_labels, Head.from_omega(one)) for one in omega]
    )
    taus = [
        softmax.reachability_threshold(G, Head.from_omega(one), len(rows))
        for one, G in zip(omega, gradients, strict=True)
    ]
    by_head = {
        "tau": np.array(taus),
        "training_error": 1 - accuracy(rows, task.train_labels, omega).numpy(),
        "accuracy": accuracy(task.test, task.test_labels, omega).numpy(),
    }
    means = {name: float(values.mean()) for name, values in by_head.items()}
    before = accuracy(task.test, task.test_labels, clean.omega).item()
    arrays = {"omega": omega.numpy(), "clean_gradient": gradients.numpy()} | by_head
    return Made(arrays, facts | means | {"target": name, "clean_accuracy": before})
