"""Finding what is not finite, without making a processor wait for a GPU after every step."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def first_not_finite(values: Sequence[Tensor]) -> tuple[int, float] | None:
    """The place in `values`, scalars on one device, of the first that is not finite, and its value.

    None where all are finite. They are looked at together, so that the processor waits once for all of them.
    """
    for place, value in enumerate(torch.stack(list(values)).tolist()):
        if not math.isfinite(value):
            return place, value
    return None
