"""The augmentations against torchvision's."""

import pytest
import torch
import torchvision.transforms.v2.functional as TF
from featpoison.pretraining import augment as A
from torchvision.transforms import RandomResizedCrop


@pytest.fixture
def pictures(generator):
    return torch.rand(16, 3, 32, 32, generator=generator)


@pytest.mark.parametrize("name", ["adjust_brightness", "adjust_contrast", "adjust_saturation", "adjust_hue"])
def test_colours_equal_torchvision_image_by_image(name, pictures, generator):
    low, high = (-0.5, 0.5) if name == "adjust_hue" else (0, 2)
    factors = torch.empty(16).uniform_(low, high, generator=generator)
    pictures[0] = 0.5  # no hue
    oracle = torch.stack(
        [getattr(TF, name)(image, factor.item()) for image, factor in zip(pictures, factors, strict=True)]
    )
    torch.testing.assert_close(getattr(A, name)(pictures, factors), oracle, rtol=0, atol=5e-6)


@pytest.mark.parametrize("flip", [False, True])
def test_crop_equals_torchvision_inside(flip, pictures):
    top, left, height, width = 4, 8, 20, 16
    share = {
        name: torch.full((16,), value / 32)
        for name, value in (("top", top), ("left", left), ("height", height), ("width", width))
    }
    ours = A.crop_and_flip(pictures, (32, 32), **share, flip=torch.full((16,), flip))
    oracle = TF.resized_crop(pictures, top, left, height, width, [32, 32], antialias=False)
    if flip:
        oracle = TF.horizontal_flip(oracle)
    # at the crop's border ours sees the neighbouring pixels, torchvision repeats the last one
    torch.testing.assert_close(ours[..., 2:-2, 2:-2], oracle[..., 2:-2, 2:-2], rtol=0, atol=1e-5)


def test_a_crop_of_a_wide_image_equals_torchvision_inside(generator):
    """Of 32 x 64 px, and resized to the 32 x 32 of the views."""
    wide = torch.rand(16, 3, 32, 64, generator=generator)
    top, left, height, width = 4, 24, 20, 32
    share = {"top": top / 32, "left": left / 64, "height": height / 32, "width": width / 64}
    share = {name: torch.full((16,), value) for name, value in share.items()}
    ours = A.crop_and_flip(wide, (32, 32), **share, flip=torch.full((16,), False))
    oracle = TF.resized_crop(wide, top, left, height, width, [32, 32], antialias=False)
    assert ours.shape == oracle.shape
    torch.testing.assert_close(ours[..., 2:-2, 2:-2], oracle[..., 2:-2, 2:-2], rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(32, 32), (24, 64)])
@pytest.mark.parametrize(
    ("scale", "ratio"), [((0.08, 1.0), (3 / 4, 4 / 3)), ((0.9, 1.0), (0.5, 2.0)), ((1.0, 1.0), (3.0, 4.0))]
)
def test_crops_are_drawn_as_torchvision_draws_them(size, scale, ratio, generator):
    count = 4000
    settings = A.Augmentation(crop_scale=scale, crop_ratio=ratio)
    top, left, height, width = A.draw_crops(count, size, settings, generator)
    ours = torch.stack([top * size[0], left * size[1], height * size[0], width * size[1]], 1).double()
    torch.manual_seed(0)
    picture = torch.zeros(3, *size)
    oracle = torch.tensor(
        [RandomResizedCrop.get_params(picture, list(scale), list(ratio)) for _ in range(count)]
    )
    oracle = oracle.double()
    assert (ours >= 0).all()
    assert (ours[:, 0] + ours[:, 2] <= size[0]).all()
    assert (ours[:, 1] + ours[:, 3] <= size[1]).all()
    for statistic in (lambda v: v, torch.square, lambda v: v[:, 2:3] * v[:, 3:4]):
        a, b = statistic(ours), statistic(oracle)
        error = ((a.var(0) + b.var(0)) / count).sqrt()
        assert ((a.mean(0) - b.mean(0)).abs() <= 5 * error + 1e-9).all()


def test_every_image_draws_its_own_parameters(generator):
    same = torch.rand(1, 3, 32, 32, generator=generator).expand(64, -1, -1, -1)
    views = A.augment(same, A.Augmentation(), generator)
    assert views.shape == same.shape
    assert views.min() >= 0
    assert views.max() <= 1
    assert len({tuple(view.flatten()[:50].tolist()) for view in views}) == 64
    grey = (views.amax(1) - views.amin(1)).amax((1, 2)) < 1e-5
    assert 3 <= grey.sum() <= 28  # 64 draws at 0.2


def views_in_one_piece(images, settings, generator):
    """The views of images of one size, with all parameters drawn in the order that clean encoders rest on:
    crops, mirrors, colours."""

    def uniform(low, high):
        return torch.empty(len(images)).uniform_(low, high, generator=generator)

    size = (images.shape[2], images.shape[3])
    top, left, height, width = A.draw_crops(len(images), size, settings, generator)
    flip = uniform(0, 1) < 0.5
    views = A.crop_and_flip(images, size, top=top, left=left, height=height, width=width, flip=flip)
    jittered = (uniform(0, 1) < settings.jitter_probability).float()
    factors = [1 + jittered * uniform(-strength, strength) for strength in settings.jitter[:3]]
    hue = jittered * uniform(-settings.jitter[3], settings.jitter[3])
    for adjust, factor in zip(
        (A.adjust_brightness, A.adjust_contrast, A.adjust_saturation), factors, strict=True
    ):
        views = adjust(views, factor)
    return A.adjust_saturation(
        A.adjust_hue(views, hue), (uniform(0, 1) >= settings.grayscale_probability).float()
    )


def test_views_of_one_size_are_drawn_as_ever(pictures):
    first, second = (torch.Generator().manual_seed(3) for _ in range(2))
    ours = A.augment(pictures, A.Augmentation(), first)
    assert torch.equal(ours, views_in_one_piece(pictures, A.Augmentation(), second))
    assert torch.equal(torch.rand(1, generator=first), torch.rand(1, generator=second))
