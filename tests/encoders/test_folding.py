"""BatchNorms that become part of convolutions."""

import copy

import pytest
import torch
from featpoison.encoders.architecture import Architecture
from featpoison.encoders.encoder import Encoder, load_encoder, save_encoder
from foreign import with_statistics_of
from helpers import RECORD
from torch import nn


def test_folding_batchnorm_changes_nothing(encoder):
    x = torch.rand(8, 3, 32, 32, dtype=torch.float64)
    plain = copy.deepcopy(encoder).double()
    folded = copy.deepcopy(plain).fold_batchnorm()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(folded(x), plain(x), rtol=1e-10, atol=1e-10)


FOLDED = [("timm:resnet10t", 1), ("torchvision:mobilenet_v3_small", 0), ("timm:convnext_atto", 0)]
FOLDED += [
    pytest.param(name, 0, marks=pytest.mark.slow)
    for name in ("resnet50", "clip-resnet50", "timm:resnet50", "torchvision:resnet18")
]


@pytest.mark.parametrize(("name", "left"), FOLDED)
def test_folding_and_saving_change_nothing(name, left, pixels, tmp_path):
    torch.manual_seed(0)
    encoder = Encoder(Architecture(name=name, side=64))
    with_statistics_of(encoder, pixels).freeze()
    save_encoder(tmp_path / "e.safetensors", encoder, RECORD)
    again = load_encoder(tmp_path / "e.safetensors")
    assert again.architecture == encoder.architecture
    assert torch.equal(again(pixels), encoder(pixels))
    encoder.double()
    folded = copy.deepcopy(encoder).fold_batchnorm()
    # Resnet10t's stem is three convolutions.
    assert sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules()) == left
    torch.testing.assert_close(folded(pixels.double()), encoder(pixels.double()), rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_batchnorms_that_follow_no_convolution_stay(pixels):
    """DenseNet normalises first: only its stem is a convolution and its BatchNorm."""
    torch.manual_seed(0)
    encoder = (
        with_statistics_of(Encoder(Architecture(name="torchvision:densenet121")), pixels).freeze().double()
    )
    folded = copy.deepcopy(encoder).fold_batchnorm()
    counts = [
        sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())
        for network in (encoder, folded)
    ]
    assert counts == [121, 120]
    torch.testing.assert_close(folded(pixels.double()), encoder(pixels.double()), rtol=1e-9, atol=1e-9)
