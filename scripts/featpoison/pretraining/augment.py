"""The SimCLR augmentations (Chen et al., 2020, https://arxiv.org/abs/2002.05709, appendix A).

They work on a batch, in which every image draws its own parameters. Each operation is a function of images
(n, 3, h, w) in [0, 1] and of one parameter per image; applied image by image, torchvision's function of the
same name gives the same. `augment` draws the parameters from a generator. Images of several sizes are cropped
by `random_crops`, size by size, and `random_colours` then takes all views together. Colours are jittered in
the fixed order brightness, contrast, saturation, hue. There is no blur, as is usual at 32 px.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from featpoison.common.settings import Settings

CROP_TRIES = 10  # torchvision's
LUMA = (0.2989, 0.587, 0.114)  # ITU-R BT.601, torchvision's weights


class Augmentation(Settings):
    """Strengths of the SimCLR augmentations."""

    crop_scale: tuple[float, float] | None = (0.08, 1.0)
    """Share of the image's area that a crop covers (SimCLR: 0.08 to 1). A crop that does not fit into the
    image is drawn again, as torchvision's RandomResizedCrop does. Null: no crops, every view shows its whole
    image. (1, 1) is something else: of an image that is not square it is a crop in the middle."""
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Aspect ratio of a crop, width over height, drawn on the logarithmic scale."""
    jitter_probability: float = 0.8
    """Probability that an image's colours are jittered."""
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)
    """Largest change of brightness, contrast and saturation (factors) and of hue (turns)."""
    grayscale_probability: float = 0.2
    """Probability that an image loses its colours."""


def augment(images: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """One random view of each image: (n, 3, h, w) in [0, 1] -> the same shape and range.

    `generator` belongs to the images' device.
    """
    size = (images.shape[2], images.shape[3])
    return random_colours(random_crops(images, size, settings, generator), settings, generator)


def random_crops(
    images: Tensor, size: tuple[int, int], settings: Augmentation, generator: torch.Generator
) -> Tensor:
    """A random crop of each image, every other one mirrored: (n, 3, h, w) -> (n, 3, *size).

    A crop is drawn in its image's own pixels, with the same settings for images of every size, and then
    resized to `size`. Where the settings have no crops, the whole image is.
    """
    n, device = len(images), images.device
    if settings.crop_scale is None:
        top = left = torch.zeros(n, device=device)
        height = width = torch.ones(n, device=device)
    else:
        top, left, height, width = draw_crops(n, (images.shape[2], images.shape[3]), settings, generator)
    flip = torch.empty(n, device=device).uniform_(0, 1, generator=generator) < 0.5
    return crop_and_flip(images, size, top=top, left=left, height=height, width=width, flip=flip)


def random_colours(views: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """The views (n, 3, h, w) with their colours jittered or lost at random."""
    n, device = len(views), views.device

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(n, device=device).uniform_(low, high, generator=generator)

    jittered = (uniform(0, 1) < settings.jitter_probability).float()
    brightness, contrast, saturation = (
        1 + jittered * uniform(-strength, strength) for strength in settings.jitter[:3]
    )
    hue = jittered * uniform(-settings.jitter[3], settings.jitter[3])
    views = adjust_brightness(views, brightness)
    views = adjust_contrast(views, contrast)
    views = adjust_saturation(views, saturation)
    views = adjust_hue(views, hue)
    return adjust_saturation(views, (uniform(0, 1) >= settings.grayscale_probability).float())


def draw_crops(
    n: int, size: tuple[int, int], settings: Augmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top, left, height and width of `n` random crops, as shares of the image's sides, (n,) each.

    The distribution is that of torchvision's RandomResizedCrop. `size` is the image's height and width in
    pixels, and crops lie on whole pixels. Of `CROP_TRIES` draws the first that fits into the image counts;
    where none fits, the crop is the largest one in the middle whose aspect ratio is allowed. Raises
    ValueError for settings without crops.
    """
    if settings.crop_scale is None:
        raise ValueError("'crop_scale' is null, expected two shares of an image's area")
    device, (rows, columns) = generator.device, size

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(CROP_TRIES, n, device=device).uniform_(low, high, generator=generator)

    area = uniform(*settings.crop_scale) * rows * columns
    ratio = uniform(*map(math.log, settings.crop_ratio)).exp()
    heights, widths = (area / ratio).sqrt().round(), (area * ratio).sqrt().round()
    fits = (heights > 0) & (heights <= rows) & (widths > 0) & (widths <= columns)
    first = fits.int().argmax(0, keepdim=True)  # of equal values the first
    found = fits.any(0)
    narrowest, widest = settings.crop_ratio
    height = torch.where(found, heights.gather(0, first)[0], min(rows, round(columns / narrowest)))
    width = torch.where(found, widths.gather(0, first)[0], min(columns, round(rows * widest)))
    place = torch.rand(2, n, device=device, generator=generator)
    top = torch.where(found, (place[0] * (rows - height + 1)).floor(), ((rows - height) / 2).floor())
    left = torch.where(found, (place[1] * (columns - width + 1)).floor(), ((columns - width) / 2).floor())
    return top / rows, left / columns, height / rows, width / columns


def crop_and_flip(
    images: Tensor,
    size: tuple[int, int],
    *,
    top: Tensor,
    left: Tensor,
    height: Tensor,
    width: Tensor,
    flip: Tensor,
) -> Tensor:
    """Crop each image (n, 3, h, w), mirror it where `flip` says so, and resize it: (n, 3, *size).

    `size` is height and width in pixels. `top` and `left`, the crop's corner, and `height` and `width`, its
    size, are shares of the image's side, (n,) each; `flip` is boolean (n,). Pixels are interpolated
    bilinearly.
    """
    sign = 1 - 2 * flip.float()
    zero = torch.zeros_like(top)
    # affine_grid has coordinates in [-1, 1]: scale by the crop's size, and move to its centre
    x = torch.stack([width * sign, zero, 2 * left + width - 1], 1)  # (n, 3)
    y = torch.stack([zero, height, 2 * top + height - 1], 1)
    grid = F.affine_grid(torch.stack([x, y], 1), [*images.shape[:2], *size], align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _luma(images: Tensor) -> Tensor:
    """The grey value of each pixel, (n, 1, h, w)."""
    red, green, blue = images.unbind(1)
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue).unsqueeze(1)  # (n, 1, h, w)


def _blend(images: Tensor, other: Tensor | float, factor: Tensor) -> Tensor:
    """factor * images + (1 - factor) * other, cut off at 0 and 1; one factor for each image, (n,)."""
    weight = factor.view(-1, 1, 1, 1)
    return (weight * images + (1 - weight) * other).clamp_(0, 1)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Blend images (n, 3, h, w) with black; `factor` (n,), where 1 changes nothing."""
    return _blend(images, 0.0, factor)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend images (n, 3, h, w) with their mean grey value; `factor` (n,), where 1 changes nothing."""
    return _blend(images, _luma(images).mean((2, 3), keepdim=True), factor)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blend images (n, 3, h, w) with their grey versions; `factor` (n,), where 0 leaves no colours."""
    return _blend(images, _luma(images), factor)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Rotate the hue of images (n, 3, h, w) by `shift` (n,), in turns of the colour wheel, by way of HSV."""
    value, largest = images.max(1)  # (n, h, w): the largest channel, and which it is
    chroma = value - images.amin(1)
    divisor = torch.where(chroma == 0, 1.0, chroma)
    red, green, blue = images.unbind(1)
    sextant = torch.where(
        largest == 0,
        (green - blue) / divisor,
        torch.where(largest == 1, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    hue = sextant + 6 * shift.view(-1, 1, 1)
    # HSV to RGB in closed form: each channel is the value minus the chroma times a trapezoid of the hue
    position = torch.stack([5.0 + hue, 3.0 + hue, 1.0 + hue], 1).remainder(6.0)  # (n, 3, h, w)
    return value.unsqueeze(1) - chroma.unsqueeze(1) * torch.minimum(position, 4 - position).clamp(0, 1)
