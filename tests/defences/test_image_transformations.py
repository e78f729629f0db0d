"""Defences that transform images: against other libraries, and the features that victims then see."""

import numpy as np
import pytest
import torch
from featpoison import store
from featpoison.common.pixels import to_pixels
from featpoison.defences import names
from featpoison.defences.crop_average import crops
from featpoison.defences.jpeg import compressed
from featpoison.encoders.encoder import save_encoder
from helpers import RECORD
from scipy.ndimage import gaussian_filter
from torch import nn
from torchvision.io import decode_jpeg, encode_jpeg

TRANSFORMING = [name for name, one in names.load_all().items() if one.transform]


class Flat(nn.Module):
    """An encoder whose features are the pixels."""

    def forward(self, pixels):
        return pixels.flatten(1)


@pytest.mark.filterwarnings("ignore:The image decoding and encoding")
def test_jpeg_is_that_of_another_library(images):
    found = compressed(to_pixels(images[:3]), 60)
    for ours, image in zip(found, images[:3], strict=True):
        theirs = decode_jpeg(encode_jpeg(torch.from_numpy(image), 60)) / 255
        assert (ours - theirs).abs().mean() < 0.01
        assert (ours - to_pixels(image)).abs().mean() > 0.01


def test_a_blur_is_a_gaussian(images):
    pixels = to_pixels(images[:2])
    blur = names.load("blur")
    found = blur.transform(pixels, Flat(), blur.settings(sigma=1.0)).view_as(pixels)
    expected = gaussian_filter(pixels.numpy(), (0, 0, 1, 1), mode="mirror", truncate=3)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_crops_lie_in_the_corners_and_in_the_middle():
    pixels = torch.zeros(1, 3, 32, 32)
    pixels[..., :2, :2] = 1  # in one of the five crops of 28 pixels
    assert [one.max().item() > 0.9 for one in crops(pixels, 0.875)] == [True, False, False, False, False]
    assert crops(pixels, 0.875).shape == (5, 1, 3, 32, 32)
    average = names.load("crop-average")
    whole = average.transform(pixels, Flat(), average.settings(share=1.0))
    torch.testing.assert_close(whole, pixels.flatten(1))


@pytest.mark.parametrize("name", TRANSFORMING)
def test_poisons_are_seen_as_their_files_are(name, defending, encoder, images, tmp_path):
    """Rounded to 8 bits first; clean features come from the file."""
    defence = names.load(name)
    clean = {"train": np.ones((120, 64), np.float32), "test": np.zeros((60, 64), np.float32)}
    clean |= {"train_labels": np.arange(120) % 3, "test_labels": np.arange(60) % 3}
    store.write(tmp_path / "seen.h5", clean, RECORD, classes=["a", "b", "c"])
    save_encoder(tmp_path / "encoder.safetensors", encoder, RECORD)
    files = {"transformed": tmp_path / "seen.h5", "encoder": tmp_path / "encoder.safetensors"}
    pixels, labels = to_pixels(images[:7]), torch.zeros(7, dtype=torch.long)
    found = defence.run(
        defending(name, torch.zeros(7, 8), labels, files, images=pixels + 0.0015)  # not half a level
    )
    with torch.no_grad():
        expected = defence.transform(pixels, encoder, defence.settings())
    torch.testing.assert_close(found.train[120:], expected)
    assert torch.equal(found.train[:120], torch.ones(120, 64))
    assert torch.equal(found.test, torch.zeros(60, 64))
    assert found.rows is None
    assert len(defence.run(defending(name, files=files)).train) == 120


def test_what_transforms_images_needs_an_encoder():
    for name, one in names.load_all().items():
        assert (one.transform is not None) == ("transformed" in one.needs) == ("encoder" in one.needs), name
        assert one.of_images == bool(one.needs)
