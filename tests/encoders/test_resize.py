"""The resize against torch's own."""

import pytest
import torch
import torch.nn.functional as F
from featpoison.encoders.architecture import Architecture
from featpoison.encoders.decoder import build
from featpoison.encoders.encoder import Encoder
from featpoison.encoders.features import extract, pull_back
from featpoison.encoders.resize import resize


@pytest.mark.parametrize(
    ("size", "side"), [((32, 32), 224), ((96, 96), 224), ((96, 64), 32), ((7, 9), 8), ((5, 5), 1)]
)
def test_resize_is_torchs_with_its_gradient(size, side, generator):
    x = torch.rand(2, 3, *size, dtype=torch.float64, generator=generator, requires_grad=True)
    expected = F.interpolate(x, (side, side), mode="bilinear", antialias=True)
    found = resize(x, side)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    cotangent = torch.rand(found.shape, dtype=torch.float64, generator=generator)
    gradients = [torch.autograd.grad(y, x, cotangent)[0] for y in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_resize_keeps_constants_range_and_precision(generator):
    x = torch.rand(2, 3, 32, 32, generator=generator)
    assert resize(x, 32) is x
    torch.testing.assert_close(resize(torch.full_like(x, 0.3), 224), torch.full((2, 3, 224, 224), 0.3))
    assert 0 <= resize(x, 224).min() <= resize(x, 224).max() <= 1 + 1e-6
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(resize(x, 224), resize(x.clone(), 224).float())
        assert resize(x, 224).dtype == torch.float32


def test_the_resize_belongs_to_the_encoder(generator):
    """Features and gradients of images of any size; pixels stay in [0, 1] and at their own side."""
    torch.manual_seed(0)
    encoder = Encoder(Architecture(width=8, stem_stride=2, side=32)).freeze()
    plain = Encoder(Architecture(width=8, stem_stride=2))
    plain.load_state_dict(encoder.state_dict())
    plain.freeze()
    x = torch.rand(3, 3, 20, 20, generator=generator)
    direction = torch.randn(3, encoder.dimension, generator=generator)
    z, gradient = pull_back(x, lambda features: direction, encoder, torch.float32)
    leaf = x.clone().requires_grad_(True)
    expected = plain(F.interpolate(leaf, (32, 32), mode="bilinear"))
    torch.testing.assert_close(z, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        gradient, torch.autograd.grad(expected, leaf, direction)[0], rtol=1e-5, atol=1e-5
    )
    torch.testing.assert_close(extract(x, encoder), expected)
    image = (20, 20)
    out = build(encoder, "skip", image, (8, 8, 8, 8, 8))(x)
    assert out.shape == x.shape
