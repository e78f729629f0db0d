"""The resize against torch's own."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from featpoison.encoders.architecture import Architecture
from featpoison.encoders.decoder import build
from featpoison.encoders.encoder import Encoder
from featpoison.encoders.features import extract, pull_back
from featpoison.encoders.resize import resize
from PIL import Image


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("size", "side"), [((32, 32), 224), ((96, 96), 224), ((96, 64), 32), ((7, 9), 8), ((5, 5), 1)]
)
def test_resize_is_torchs_with_its_gradient(size, side, mode, generator):
    x = torch.rand(2, 3, *size, dtype=torch.float64, generator=generator, requires_grad=True)
    expected = F.interpolate(x, (side, side), mode=mode, antialias=True, align_corners=False)
    found = resize(x, side, mode)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    cotangent = torch.rand(found.shape, dtype=torch.float64, generator=generator)
    gradients = [torch.autograd.grad(y, x, cotangent)[0] for y in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_bicubic_is_pillows():
    """As CLIP's authors and timm resize, on floats, which it does not round or clip."""
    ramp = torch.rand(40, 40, generator=torch.Generator().manual_seed(0))
    for side in (96, 17):
        picture = Image.fromarray(ramp.numpy()).resize((side, side), Image.Resampling.BICUBIC)
        found = resize(ramp.expand(1, 3, -1, -1), side, "bicubic")[0, 0]
        torch.testing.assert_close(found, torch.from_numpy(np.array(picture)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_resize_keeps_constants_and_precision(mode, generator):
    x = torch.rand(2, 3, 32, 32, generator=generator)
    assert resize(x, 32, mode) is x
    torch.testing.assert_close(resize(torch.full_like(x, 0.3), 224, mode), torch.full((2, 3, 224, 224), 0.3))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(resize(x, 224, mode), resize(x.clone(), 224, mode).float())
        assert resize(x, 224, mode).dtype == torch.float32


def test_only_bicubic_leaves_the_range(generator):
    x = torch.rand(2, 3, 32, 32, generator=generator).round()
    bilinear, bicubic = (resize(x, 224, mode) for mode in ("bilinear", "bicubic"))
    assert 0 <= bilinear.min() <= bilinear.max() <= 1 + 1e-6
    assert bicubic.min() < -0.01
    assert bicubic.max() > 1.01


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_the_resize_belongs_to_the_encoder(mode, generator):
    """Features and gradients of images of any size; pixels stay in [0, 1] and at their own side."""
    torch.manual_seed(0)
    encoder = Encoder(Architecture(width=8, stem_stride=2, side=32, interpolation=mode)).freeze()
    plain = Encoder(Architecture(width=8, stem_stride=2))
    plain.load_state_dict(encoder.state_dict())
    plain.freeze()
    x = torch.rand(3, 3, 20, 20, generator=generator)
    direction = torch.randn(3, encoder.dimension, generator=generator)
    z, gradient = pull_back(x, lambda features: direction, encoder, torch.float32)
    leaf = x.clone().requires_grad_(True)
    expected = plain(F.interpolate(leaf, (32, 32), mode=mode, antialias=True))
    torch.testing.assert_close(z, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        gradient, torch.autograd.grad(expected, leaf, direction)[0], rtol=1e-5, atol=1e-5
    )
    torch.testing.assert_close(extract(x, encoder), expected)
    image = (20, 20)
    out = build(encoder, "skip", image, (8, 8, 8, 8, 8))(x)
    assert out.shape == x.shape
