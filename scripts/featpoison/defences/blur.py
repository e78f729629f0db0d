"""Blur: images are smoothed by a Gaussian before the encoder sees them, one of the input transformations that
were tried against adversarial images (Xu, Evans and Qi, 2018, https://arxiv.org/abs/1704.01155, section 3.2,
spatial smoothing)."""

from typing import Any

from pydantic import PositiveFloat
from torch import Tensor

from featpoison.common.settings import Settings
from featpoison.defences.defence import Defence, Defended, Defending, Encode
from featpoison.defences.image_transformation import seen_again


class Blur(Settings):
    """Settings of the blur."""

    sigma: PositiveFloat = 0.5
    """Standard deviation of the Gaussian, in pixels."""


def transform(pixels: Tensor, encoder: Encode, settings: Any) -> Tensor:
    """Pixels (b, 3, h, w) in [0, 1] -> features (b, d). The Gaussian is cut off at three deviations."""
    from torchvision.transforms.functional import gaussian_blur  # seconds, for whoever only lists defences

    side = 2 * max(1, round(3 * settings.sigma)) + 1
    return encoder(gaussian_blur(pixels, [side, side], [settings.sigma, settings.sigma]))


def run(given: Defending) -> Defended:
    """All rows, seen blurred."""
    return seen_again(given, DEFENCE)


DEFENCE = Defence(
    name="blur",
    title="blur",
    settings=Blur,
    run=run,
    needs=("encoder", "transformed"),
    transform=transform,
)
