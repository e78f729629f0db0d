import numpy as np
import pytest
import torch
from featpoison.common.pixels import rounded_to_8bit, to_8bit, to_pixels
from PIL import Image

LEVELS = np.arange(256)


def test_every_level_survives_the_way_to_floats_and_back():
    levels = torch.arange(256, dtype=torch.uint8)
    pixels = to_pixels(levels)
    assert pixels.dtype == torch.float32
    np.testing.assert_array_equal(pixels, LEVELS.astype(np.float32) / np.float32(255))
    assert torch.equal(to_8bit(pixels), levels)
    assert torch.equal(to_8bit(pixels.double()), levels)
    assert torch.equal(rounded_to_8bit(pixels), pixels)


def test_arrays_become_tensors_and_floats_stay_as_they_are():
    assert to_pixels(np.array([0, 255], np.uint8)).tolist() == [0, 1]
    images = torch.tensor([-0.5, 2.0], dtype=torch.float64)
    assert to_pixels(images) is images


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_8_bit_is_the_nearest_level_in_range(dtype, generator):
    images = 2 * torch.rand(5000, generator=generator, dtype=dtype) - 0.5
    nearest = np.abs(images.double().numpy()[:, None] - LEVELS / 255).argmin(1)
    found = to_8bit(images)
    assert found.dtype == torch.uint8
    np.testing.assert_array_equal(found, nearest)
    assert rounded_to_8bit(images).dtype == dtype
    np.testing.assert_allclose(rounded_to_8bit(images), nearest / 255, rtol=1e-6)


def test_beyond_the_range_is_cut_off():
    images = torch.tensor([-1e9, -0.01, -0.0, 1.0, 1.01, 3.0, 1e9])
    assert to_8bit(images).tolist() == [0, 0, 0, 255, 255, 255, 255]
    assert rounded_to_8bit(images).tolist() == [0, 0, 0, 1, 1, 1, 1]


def test_halves_go_to_the_even_level():
    halves = (torch.arange(255, dtype=torch.float64) + 0.5) / 255
    halves = halves[halves * 255 % 1 == 0.5]
    assert len(halves) > 50
    assert (to_8bit(halves) % 2 == 0).all()


def test_a_png_file_holds_the_rounded_image(tmp_path, generator):
    image = 1.2 * torch.rand(3, 9, 7, generator=generator) - 0.1
    Image.fromarray(to_8bit(image).permute(1, 2, 0).numpy()).save(tmp_path / "image.png")
    with Image.open(tmp_path / "image.png") as picture:
        stored = np.array(picture).transpose(2, 0, 1)
    assert torch.equal(to_pixels(stored), rounded_to_8bit(image))
    inside = image.clamp(0, 1)
    assert (to_pixels(stored) - inside).abs().max() <= 0.5 / 255 + 1e-6
