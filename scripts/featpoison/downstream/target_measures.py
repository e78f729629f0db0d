"""How an encoder and the heads on it see chosen test inputs, the targets, each with a class that somebody
wants it to be given: what attacks on pre-training are measured by.

Of a target x with the wanted class c, the features f, and a head with the probabilities p(. | x):

- its *success* is that the head gives it c, which is exact and coarse: 0 or 1;
- its *probability* p(c | x) and the *rank* of c, 1 where p(c | x) is the largest of all classes, do not
  saturate at either end;
- its *cosine* is that between f(x) and the mean of f over the test inputs of class c that are no targets. It
  needs no head. A target is never of class c itself.

All are measured the same way on a clean encoder, which tells what is due to the attack.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from featpoison.downstream.task import Task
from featpoison.softmax import Head, logits

VICTIMS = ("sgd100", "converged")


@dataclass(frozen=True)
class TargetInputs:
    """Chosen test inputs of a task."""

    rows: Tensor
    """Their rows among the test inputs (k,), int64."""
    labels: Tensor
    """The wanted classes (k,), int64."""


def measure(task: Task, heads: dict[str, Tensor], targets: TargetInputs) -> dict[str, np.ndarray]:
    """What heads make of the targets, and which class they give each test input.

    `heads` are by victim the parameters (V, C, d+1), bias last, of V heads. Of each victim NAME there are
    NAME_predictions (V, m) uint16 of all m test inputs, and NAME_probability and NAME_rank (V, k) float64 and
    int64 of the targets. `cosine` (k,) float64 is the encoder's own. Raises ValueError where a wanted class
    has no test input that is no target.
    """
    made: dict[str, np.ndarray] = {"cosine": cosines(task, targets).numpy()}
    for name, omega in heads.items():
        scores = [logits(task.test.to(one), Head.from_omega(one)).double() for one in omega]
        stacked = torch.stack(scores)  # (V, m, C)
        of_targets = stacked[:, targets.rows]  # (V, k, C)
        index = targets.labels.view(1, -1, 1).expand(len(omega), -1, 1)
        wanted = of_targets.gather(2, index)  # (V, k, 1)
        made |= {
            f"{name}_predictions": stacked.argmax(-1).numpy().astype(np.uint16),
            f"{name}_probability": of_targets.softmax(-1).gather(2, index)[..., 0].numpy(),
            f"{name}_rank": 1 + (of_targets > wanted).sum(-1).numpy(),
        }
    return made


def cosines(task: Task, targets: TargetInputs) -> Tensor:
    """The cosine of each target's feature with the mean of its wanted class, float64 (k,)."""
    others = torch.ones(len(task.test), dtype=torch.bool)
    others[targets.rows] = False
    means = {}
    for label in targets.labels.unique().tolist():
        own = task.test[others & (task.test_labels == label)].double()
        if not len(own):
            raise ValueError(f"class {label} has no test inputs beside targets, expected at least one")
        means[label] = own.mean(0)
    wanted = torch.stack([means[label] for label in targets.labels.tolist()])  # (k, d)
    return cosine_similarity(task.test[targets.rows].double(), wanted)
