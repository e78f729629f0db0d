import pytest
import pytorch_msssim
import torch
from featpoison.downstream.ms_ssim import WEIGHTS, Similarity, ms_ssim
from oracles import slow

SMALL = Similarity()


def pair(generator, n=3, side=32, noise=0.2, dtype=torch.float64):
    """Smooth images and noisy versions."""
    first = torch.nn.functional.interpolate(
        torch.rand(n, 3, 6, 6, generator=generator, dtype=dtype), size=(side, side), mode="bilinear"
    )
    return first, (first + noise * torch.randn(first.shape, generator=generator, dtype=dtype)).clamp(0, 1)


@pytest.mark.parametrize(
    "settings",
    [SMALL, Similarity(levels=1), Similarity(levels=2, window=11, sigma=2.0), Similarity(levels=3, window=4)],
)
def test_equals_the_definition_window_by_window(settings, generator):
    first, second = pair(generator, n=2, side=24 if settings.levels == 2 else 32)
    oracle = torch.stack([slow.ms_ssim(x, y, settings) for x, y in zip(first, second, strict=True)])
    found = ms_ssim(first, second, settings)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, oracle, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("side", "levels", "window", "sigma"),
    [(176, 5, 11, 1.5), (165, 5, 11, 1.5), (48, 3, 3, 0.8), (37, 3, 3, 1.5)],
)
def test_equals_pytorch_msssim_where_that_one_works(side, levels, window, sigma, generator):
    """Odd sides too; the weights of fewer scales are given to it."""
    first, second = pair(generator, n=2, side=side, dtype=torch.float32)
    weights = (torch.tensor(WEIGHTS[:levels]) / sum(WEIGHTS[:levels])).tolist()
    oracle = pytorch_msssim.ms_ssim(
        first, second, data_range=1, size_average=False, win_size=window, win_sigma=sigma, weights=weights
    )
    found = ms_ssim(first, second, Similarity(levels=levels, window=window, sigma=sigma))
    # Its weights of five scales sum to 1.0000, rounded.
    torch.testing.assert_close(found, oracle, rtol=0, atol=1e-5 if levels < 5 else 2e-4)


def test_is_one_for_equals_symmetric_and_falls_with_noise(generator):
    first, second = pair(generator)
    torch.testing.assert_close(ms_ssim(first, first, SMALL), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(ms_ssim(first, second, SMALL), ms_ssim(second, first, SMALL))
    noisier = pair(torch.Generator().manual_seed(0), noise=0.4)[1]
    assert (ms_ssim(first, noisier, SMALL) < ms_ssim(first, second, SMALL)).all()


def test_gradient_is_the_finite_difference(generator):
    first, second = pair(generator, n=1, side=28)
    assert torch.autograd.gradcheck(
        lambda image: ms_ssim(image, second, SMALL), first.requires_grad_(True), fast_mode=True
    )


def test_negatives_are_zero_and_have_a_finite_gradient(generator):
    """An image against its negative: covariances are negative, and powers of them would be NaN."""
    first, _ = pair(generator)
    negative = (1 - first).requires_grad_(True)
    value = ms_ssim(first, negative, SMALL)
    assert torch.equal(value, torch.zeros_like(value))
    value.sum().backward()
    assert negative.grad.isfinite().all()


def test_images_too_small_for_the_scales_are_an_error(generator):
    first, second = pair(generator, side=24)
    with pytest.raises(
        ValueError, match=r"images of \(24, 24\) px, expected at least 25 for 3 levels, window 7"
    ):
        ms_ssim(first, second, SMALL)
