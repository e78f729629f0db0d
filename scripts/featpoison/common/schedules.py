"""Step-size schedules."""

import math


def half_cosine(step: float, steps: float) -> float:
    """The factor 0.5 (1 + cos(pi step / steps)) on a step size: 1 at step 0, falling to 0 at step `steps`.

    This is cosine annealing without restarts (Loshchilov and Hutter, 2017, https://arxiv.org/abs/1608.03983,
    eq. 5). `step` may be a fraction. Raises ZeroDivisionError where `steps` is 0.
    """
    return 0.5 * (1 + math.cos(math.pi * step / steps))
