"""Models of timm against timm itself."""

import pytest
import timm
import torch
from featpoison.encoders.architecture import Architecture
from featpoison.encoders.conversion import Conversion, convert
from featpoison.encoders.decoder import build
from featpoison.encoders.trunk import EncoderError
from foreign import preprocessed, with_statistics_of
from safetensors.torch import save_file

TIMM = [
    ("resnet10t", 64),
    ("vit_tiny_patch16_224.augreg_in21k", 224),
    ("mobilenetv3_small_050.lamb_in1k", 64),
    ("convnext_atto", 64),
]


@pytest.mark.parametrize(("name", "side"), TIMM)
def test_timm_model(name, side, pixels, tmp_path):
    torch.manual_seed(0)
    model = with_statistics_of(timm.create_model(name, pretrained=False), torch.rand(4, 3, side, side))
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    encoder = convert(
        tmp_path / "model.safetensors",
        Conversion(format="timm", architecture=Architecture(name=f"timm:{name}", side=side)),
    )
    with torch.no_grad():
        config = model.pretrained_cfg
        assert encoder.architecture.interpolation == config["interpolation"]
        x = preprocessed(pixels, side, config["mean"], config["std"], config["interpolation"])
        expected = model.forward_head(model.forward_features(x), pre_logits=True)
        torch.testing.assert_close(encoder(pixels), expected, rtol=1e-5, atol=1e-5)
    assert expected.shape == (4, encoder.dimension)
    with pytest.raises(EncoderError, match=f"timm:{name} has no maps of stages, which decoders need"):
        build(encoder, "skip", (40, 40), (8, 8))
