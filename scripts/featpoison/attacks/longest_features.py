"""How long a feature of a real image can be (this project).

An attack on features may ask for features of any length, but an image has to have them. Two facts tell how
far images go: how the norms of clean features are spread, and the largest norm ||f(x)|| that projected
gradient ascent finds among the images that an 8-bit file can hold. The ascent starts from clean images, and
longer features than it finds may exist.
"""

import copy
import math
from dataclasses import dataclass
from functools import partial

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from featpoison.attacks.constraints import Box
from featpoison.attacks.input_space import InputSpace, optimise
from featpoison.common.pixels import rounded_to_8bit
from featpoison.common.precision import Precision, resolve
from featpoison.common.seeds import stream
from featpoison.common.settings import Settings
from featpoison.encoders.encoder import Encoder
from featpoison.encoders.features import extract, pull_back
from featpoison.records.checkpoints import Checkpoint

SHARES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""The quantiles of the clean norms that are kept, as shares of the training set."""


class LongestFeatures(Settings):
    """Settings of the ascent to long features."""

    images: PositiveInt = 32
    """Clean training images that it starts from; all of them where there are fewer."""
    seed: NonNegativeInt = 0
    """Of the choice of these images."""
    steps: PositiveInt = 200
    """Steps of Adam."""
    step_size: PositiveFloat = 0.02
    """First step size, in units of pixel range; half a cosine takes it to zero."""
    batch_size: PositiveInt = 256
    """Images that pass through the encoder together."""
    precision: Precision = "auto"
    """Arithmetic of the encoder during the ascent; norms are those of float32 features."""


@dataclass(frozen=True)
class Longest:
    """Images (k, 3, h, w), multiples of 1/255 in [0, 1], the norms (k,) of their features, and the norms (k,)
    of the clean images that they come from."""

    images: Tensor
    norms: Tensor
    first_norms: Tensor


def norm_quantiles(features: Tensor) -> Tensor:
    """The `SHARES` quantiles of the norms of `features` (N, d), interpolated linearly, float64 (7,)."""
    return features.double().norm(dim=1).quantile(torch.tensor(SHARES, dtype=torch.float64))


def chosen_rows(rows: int, settings: LongestFeatures) -> Tensor:
    """The rows (k,) of the training set that the ascent starts from, each at most once."""
    generator = stream(settings.seed, device=torch.device("cpu"))
    return torch.randperm(rows, generator=generator)[: settings.images]


class NegativeNorm:
    """The objective - sum ||z|| over the images' features z."""

    comparable = True

    def __init__(self, count: int, device: torch.device) -> None:
        """Of `count` images, whose features are on `device`."""
        self.norms = torch.zeros(count, dtype=torch.float64, device=device)

    def gradient(self, block: slice, features: Tensor) -> Tensor:
        """-z / ||z|| in the features (n, d) of the rows in `block`; 0 where z is 0."""
        norms = features.norm(dim=1, keepdim=True)
        self.norms[block] = norms.squeeze(1).double()
        return -features / norms.clamp(min=torch.finfo(norms.dtype).tiny)

    def value(self) -> float:
        """Where the last pass found the images."""
        return -self.norms.sum().item()

    def state(self) -> dict[str, Tensor]:
        """Nothing: the norms are computed anew in every pass."""
        return {}

    def load(self, state: dict[str, Tensor]) -> None:
        """Nothing to go on from."""


def lengthen(
    pixels: Tensor, encoder: Encoder, settings: LongestFeatures, *, checkpoint: Checkpoint
) -> Longest:
    """Images with features as long as projected gradient ascent finds them, from `pixels` (k, 3, h, w).

    `pixels` are clean images in [0, 1], on the device of `encoder`. They are kept in [0, 1] at every step and
    rounded to 8 bits at the end. An image whose feature is not longer after that stays the clean one, so no
    norm is below the one it started from. Resumes after a kill.
    """
    device = encoder.mean.device
    folded = copy.deepcopy(encoder).fold_batchnorm()  # in place, and the norms are those of `encoder` itself
    found = optimise(
        pixels,
        NegativeNorm(len(pixels), device),
        InputSpace(epochs=settings.steps, step_size=settings.step_size, batch_size=settings.batch_size),
        pull_back=partial(pull_back, encoder=folded, dtype=resolve(settings.precision, device)),
        within=Box(0.0, 1.0),
        threshold=-math.inf,
        checkpoint=checkpoint,
    )
    clean, moved = pixels.cpu(), rounded_to_8bit(found.poisons).cpu()
    before, after = (
        extract(images, encoder, batch_size=settings.batch_size).double().norm(dim=1)
        for images in (clean, moved)
    )
    longer = after > before
    images = torch.where(longer.view(-1, 1, 1, 1), moved, clean)
    return Longest(images, torch.maximum(before, after), before)
