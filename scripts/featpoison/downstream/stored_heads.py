"""Reading the heads that other stages have written: target heads, and victims trained on clean data.

Every function raises FileNotFoundError or StoreError, naming the file, where it is missing, damaged or of
another stage.
"""

from pathlib import Path

import torch
from torch import Tensor

from featpoison import store
from featpoison.softmax import Head


def read_target(path: Path, draw: int = 0) -> tuple[Head, Tensor]:
    """The target head of a file of the stage `data/targets/`, and the clean gradient G at it; both float32.

    The head is weight (C, d) and bias (C,). G (C, d+1) is the gradient of the loss in the head's parameters,
    summed over all clean training rows, the bias last. Where the target is drawn at random, the file has
    several heads, and `draw`, such as a poison seed, chooses one of them, modulo their number.
    """
    arrays = store.read(path, "omega", "clean_gradient")  # (D, C, d+1) each
    omega, gradient = (torch.from_numpy(arrays[name]) for name in ("omega", "clean_gradient"))
    chosen = draw % len(omega)
    return Head.from_omega(omega[chosen]), gradient[chosen]


def read_clean_head(path: Path, seed_index: int = 0) -> Head:
    """The head that `sgd100` trained on clean data, float32, weight (C, d), bias (C,).

    `seed_index` is the position of the victim seed in the settings, from 0. Raises IndexError where there are
    fewer seeds.
    """
    omega = store.read(path, "sgd100_omega")["sgd100_omega"]  # (1, V, C, d+1)
    return Head.from_omega(torch.from_numpy(omega[0, seed_index]))
