"""Measures by hand, and by loops in numpy."""

import numpy as np
import pytest
import torch
from featpoison.downstream import metrics
from featpoison.downstream.metrics import magnitude_ratio, pixel_ratio, psnr, structural_similarity


def test_magnitude_ratio():
    clean = torch.tensor([[0.0, -2.0], [0.0, 1.0]])
    assert magnitude_ratio(torch.tensor([[4.0, 3.0], [0.0, -7.0]]), clean) == pytest.approx(4.0)


def test_pixel_ratio():
    images = torch.zeros(2, 3, 4, 4)
    images[0, 1, 2, 3], images[0, 0, 0, 0], images[1, 2, 0, 0] = -1.5, 1.0, 0.5
    assert pixel_ratio(images, 0.8) == pytest.approx((1.5 + 0.5) / 2 / 0.8)


def test_psnr_of_a_constant_offset():
    images = torch.rand(3, 3, 4, 4)
    assert psnr(images + 0.1, images) == pytest.approx(20, abs=1e-3)  # 10 log10(1 / 0.1^2)


def test_psnr_is_the_mean_over_images_and_at_most_100(generator):
    base = torch.rand(3, 3, 6, 5, generator=generator)
    images = base.clone()
    images[0] += 0.2 * torch.randn(3, 6, 5, generator=generator)
    images[1, 0, 0, 0] += 0.3
    first = ((images[0] - base[0]).double().numpy() ** 2).mean()
    ratios = [10 * np.log10(1 / first), 10 * np.log10(3 * 6 * 5 / 0.3**2), 100]
    assert psnr(images, base) == pytest.approx(np.mean(ratios), rel=1e-5)


def ssim_by_loops(x, y):
    """Wang et al. (2004), one channel: a Gaussian window of 11 px, each place inside the image by itself."""
    line = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    values = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            a, b = (image[top : top + 11, left : left + 11] for image in (x, y))
            ma, mb = (window * a).sum(), (window * b).sum()
            va, vb = (window * (a - ma) ** 2).sum(), (window * (b - mb) ** 2).sum()
            covariance = (window * (a - ma) * (b - mb)).sum()
            luminance = (2 * ma * mb + 0.01**2) / (ma**2 + mb**2 + 0.01**2)
            values.append(luminance * (2 * covariance + 0.03**2) / (va + vb + 0.03**2))
    return np.mean(values)


def test_ssim_is_the_formula_window_by_window(generator):
    base = torch.rand(2, 3, 16, 14, generator=generator)
    images = (base + 0.1 * torch.randn(base.shape, generator=generator)).clamp(0, 1)
    pairs = zip(images.double().flatten(0, 1).numpy(), base.double().flatten(0, 1).numpy(), strict=True)
    expected = np.mean([ssim_by_loops(x, y) for x, y in pairs])
    assert structural_similarity(images, base) == pytest.approx(expected, abs=1e-6)
    assert expected < 0.98
    assert structural_similarity(base, base) == pytest.approx(1)


def test_images_are_compared_in_parts_and_equal_ones_are_like_themselves(generator, monkeypatch):
    base = torch.rand(7, 3, 12, 12, generator=generator)
    images = (base + 0.1 * torch.randn(base.shape, generator=generator)).clamp(0, 1)
    images[[1, 4]] = base[[1, 4]]
    whole = psnr(images, base), structural_similarity(images, base)
    each = [
        (psnr(x[None], y[None]), structural_similarity(x[None], y[None]))
        for x, y in zip(images, base, strict=True)
    ]
    assert [alike for _, alike in each].count(1.0) == 2
    monkeypatch.setattr(metrics, "AT_ONCE", 3)
    parts = psnr(images, base), structural_similarity(images, base)
    assert parts == pytest.approx(whole, rel=1e-14)
    assert parts == pytest.approx(np.mean(each, axis=0), rel=1e-12)
