"""Feature matching (paper, section 4.2.2, eq. 15 and Algorithm 1 with k = 1): images whose features approach the poisoned ones, stage 3.

Each image nu minimises F(nu) = gamma/2 ||f(nu) - z||^2 + beta/2 ||mu' - nu||^2 by a forward gradient step on the first term and a
backward proximal step on the second. Images do not interact; they are worked on in blocks of fixed rows, so results do not depend on
how blocks are spread over jobs. One forward and one backward pass of the frozen encoder per step, none of it for weights.

Early stop. Step s moves an image by rate_s * ||G_s||, G_s the proximal gradient mapping. Where F is convex along the rest of the path
(the proximal term helps) and the step is at most 1/Lipschitz, ||G_s|| does not grow (Beck, First-Order Methods in Optimization, 2017,
section 10.3), so all that remains moves the image by at most ||G_s|| times the sum of the remaining rates. An image stops where this
is at most `tolerance`, with the largest ||G|| of the last `PATIENCE` steps in place of the last.
"""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from featpoison.encoders.encoder import Encoder
from featpoison.precision import Precision, resolve
from featpoison.settings import Settings

log = logging.getLogger(__name__)
PATIENCE = 10


class FeatureMatching(Settings):
    """Settings of feature matching."""

    beta: PositiveFloat = 0.25
    """Weight of staying close to the base image, in units of pixel range (paper: 0.25, 0.1, 0.05)."""
    gamma: PositiveFloat = 1.0
    """Weight of the feature distance (paper: 1)."""
    steps: PositiveInt = 2000
    """Gradient steps t (paper: 2000)."""
    step_size: PositiveFloat = 0.1
    """First step size; half a cosine takes it to zero (paper: 0.1, cosine)."""
    tolerance: NonNegativeFloat = 0.01
    """An image stops when all remaining steps would move it by at most this much (L2, pixel range); 0: never."""
    batch_size: PositiveInt = 64
    """Images of a block, worked on together."""
    precision: Precision = "auto"
    """Arithmetic of the encoder; poisons are float32 always."""


@dataclass(frozen=True)
class Pairs:
    """Base images of poisoned features: index into the clean rows (n,), squared distance (n,)."""

    index: Tensor
    distance: Tensor


def nearest_clean(zeta: Tensor, clean: Tensor, *, block: int = 4096, candidates: int = 8) -> Pairs:
    """For each row of `zeta` (n, d) the nearest row of `clean` (N, d), over all of it; ties go to the lowest index.

    Blocked matrix products find `candidates`, float64 re-ranks them: expanding ||z - x||^2 loses digits in float32.
    """
    best_values, best_index = [], []
    squares = clean.double().square().sum(1)
    for start in range(0, len(clean), block):
        part = clean[start : start + block]
        approximate = squares[start : start + block] - 2 * (zeta @ part.T).double()  # ||z - x||^2 - ||z||^2
        values, index = approximate.topk(min(candidates, len(part)), dim=1, largest=False)
        best_values.append(values)
        best_index.append(index + start)
    index = torch.cat(best_index, 1).sort(dim=1).values  # ascending, so that the first minimum is the lowest index
    exact = (clean[index].double() - zeta.double().unsqueeze(1)).square().sum(2)
    distance, place = exact.min(1)
    return Pairs(index=index.gather(1, place.unsqueeze(1)).squeeze(1), distance=distance)


def blocks_of(count: int, batch_size: int, shard: int = 0, shards: int = 1) -> Iterator[slice]:
    """The row blocks of `shard` among `shards`, in order: blocks are the same for any number of shards."""
    starts = range(0, count, batch_size)
    for start in starts[shard * len(starts) // shards : (shard + 1) * len(starts) // shards]:
        yield slice(start, min(start + batch_size, count))


def remaining_rates(settings: FeatureMatching) -> list[float]:
    """Sum of the step sizes from each step on, (steps + 1,), ending in 0."""
    sums = [0.0]
    for step in reversed(range(settings.steps)):
        sums.append(sums[-1] + step_size(settings, step))
    return sums[::-1]


def step_size(settings: FeatureMatching, step: int) -> float:
    """eta at `step`: half a cosine from the first step size to zero."""
    return settings.step_size * 0.5 * (1 + math.cos(math.pi * step / settings.steps))


def match(zeta: Tensor, base: Tensor, encoder: Encoder, settings: FeatureMatching) -> tuple[Tensor, Tensor]:
    """Algorithm 1, k = 1, for one block: images nu (n, 3, h, w) float32 and the steps that each took (n,).

    `zeta` (n, d) poisoned features, `base` (n, 3, h, w) the images mu' in [0, 1], `encoder` frozen (folded for speed). Raises
    FloatingPointError naming the step and the row within the block at NaN or infinity.
    """
    dtype = resolve(settings.precision, base.device)
    remaining = remaining_rates(settings)
    result, taken = base.clone(), torch.full((len(base),), settings.steps, device=base.device)
    rows = torch.arange(len(base), device=base.device)
    nu, mu, z = base, base, zeta
    recent = base.new_zeros(PATIENCE, len(base))
    for step in range(settings.steps):
        eta = step_size(settings, step)
        forward = nu - eta * settings.gamma * _half_square_gradient(nu, z, encoder, dtype)
        following = (forward + eta * settings.beta * mu) / (1 + eta * settings.beta)
        recent[step % PATIENCE] = (following - nu).flatten(1).norm(dim=1) / max(eta, 1e-12)
        nu = following
        bound = recent.amax(0) * remaining[step + 1]
        if not bound.isfinite().all():
            raise FloatingPointError(f"feature matching: step {step}, row {rows[~bound.isfinite()][0].item()} is not finite")
        done = bound <= settings.tolerance
        if step + 1 < PATIENCE or not done.any():
            continue
        result[rows[done]], taken[rows[done]] = nu[done], step + 1
        keep = ~done
        rows, nu, mu, z, recent = rows[keep], nu[keep], mu[keep], z[keep], recent[:, keep]
        if not len(rows):
            break
    result[rows] = nu
    return result, taken


def _half_square_gradient(nu: Tensor, z: Tensor, encoder: Encoder, dtype: torch.dtype) -> Tensor:
    """Gradient in nu of 1/2 ||f(nu) - z||^2, row by row."""
    leaf = nu.detach().contiguous(memory_format=torch.channels_last).requires_grad_(True)
    with torch.autocast(nu.device.type, dtype, enabled=dtype != torch.float32):
        features = encoder(leaf)
    (gradient,) = torch.autograd.grad(features, leaf, (features.float() - z).to(features.dtype))
    return gradient
