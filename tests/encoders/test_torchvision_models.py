"""Models of torchvision against torchvision itself."""

import pytest
import torch
import torchvision
from featpoison.encoders.architecture import IMAGENET, Architecture
from featpoison.encoders.conversion import Conversion, convert
from foreign import preprocessed, with_statistics_of
from torch import nn

TORCHVISION = ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5"]


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_model(name, pixels, tmp_path):
    torch.manual_seed(0)
    model = with_statistics_of(torchvision.models.get_model(name, weights=None), torch.rand(4, 3, 96, 96))
    torch.save(model.state_dict(), tmp_path / "model.pth")
    encoder = convert(
        tmp_path / "model.pth",
        Conversion(format="torchvision", architecture=Architecture(name=f"torchvision:{name}", side=96)),
    )
    seen = []
    classifier = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    classifier.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(preprocessed(pixels, 96, *IMAGENET))
        torch.testing.assert_close(encoder(pixels), seen[0], rtol=1e-5, atol=1e-5)
    assert seen[0].shape == (4, encoder.dimension)
