"""Features of many images."""

import pytest
import torch
from featpoison.common.pixels import to_pixels
from featpoison.encoders.architecture import Architecture
from featpoison.encoders.encoder import Encoder
from featpoison.encoders.features import extract


def test_features_do_not_depend_on_the_batch(encoder, images):
    whole = extract(images, encoder)
    torch.testing.assert_close(extract(images, encoder, batch_size=7), whole, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(whole, encoder(to_pixels(images)), rtol=1e-5, atol=1e-5)
    assert extract(images[:0], encoder).shape == (0, encoder.dimension)


@pytest.mark.parametrize(
    "name", ["timm:vit_tiny_patch16_224", pytest.param("resnet50", marks=pytest.mark.slow)]
)
def test_features_are_not_rounded_by_mixed_precision(name, pixels):
    torch.manual_seed(0)
    encoder = Encoder(Architecture(name=name, side=224)).freeze()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        features = encoder(pixels[:1])
    assert features.dtype == torch.float32
    assert not torch.equal(features, features.bfloat16().float())
