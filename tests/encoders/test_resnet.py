"""This project's ResNet-18 against torchvision's."""

import copy

import pytest
import torch
import torch.nn.functional as F
from featpoison.encoders.encoder import Architecture, Encoder
from featpoison.encoders.resnet import FEW_CHANNELS, BasicBlock


def test_resnet18_is_torchvisions_with_another_stem():
    """Same blocks: with torchvision's weights and a 3 x 3 stem without max-pool, the same features."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    oracle = resnet18()
    oracle.conv1, oracle.maxpool, oracle.fc = (
        torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False),
        torch.nn.Identity(),
        torch.nn.Identity(),
    )
    ours = Encoder(Architecture(mean=(0, 0, 0), std=(1, 1, 1)))
    ours.trunk.load_state_dict(oracle.state_dict())
    x = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), oracle.eval()(x), rtol=1e-5, atol=1e-5)
    assert ours.dimension == 512


@pytest.mark.parametrize(("width", "stem_stride", "side"), [(8, 1, 32), (4, 2, 30)])
def test_maps_are_the_stages_and_the_features_their_last_ones_mean(width, stem_stride, side):
    torch.manual_seed(0)
    encoder = Encoder(Architecture(width=width, stem_stride=stem_stride)).freeze()
    x = torch.rand(2, 3, side, side)
    seen = {}
    for name in ("layer1", "layer2", "layer3", "layer4"):
        encoder.trunk.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: seen.update({name: (inputs[0], output)})
        )
    maps = encoder.maps(x)
    assert [map_.shape[1] for map_ in maps] == [width, width, 2 * width, 4 * width, 8 * width]
    assert maps[0].shape[2] == -(-side // stem_stride)
    assert torch.equal(maps[0], seen["layer1"][0])
    for map_, name in zip(maps[1:], sorted(seen), strict=True):
        assert torch.equal(map_, seen[name][1])
    assert torch.equal(encoder.pool(maps[-1]), encoder(x))
    torch.testing.assert_close(encoder(x), maps[-1].mean((2, 3)))


@pytest.mark.parametrize("channels", [2, FEW_CHANNELS - 1, FEW_CHANNELS])
def test_a_shortcut_is_a_convolution_with_a_stride_however_few_its_channels(channels):
    torch.manual_seed(0)
    block = BasicBlock(channels, 2 * channels, 2).double().eval()
    x = torch.randn(3, channels, 9, 8, dtype=torch.float64)
    weight = block.downsample[0].weight
    shortcut = block.downsample[1](F.conv2d(x, weight, stride=2))
    inner = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x)))))
    torch.testing.assert_close(block(x), F.relu(inner + shortcut))


def test_gradients_of_thin_blocks_stay_within_their_memory():
    """Convolutions of oneDNN do not everywhere: this test then ends Python, or finds wrong gradients."""
    torch.manual_seed(0)
    block = BasicBlock(2, 4, 2).to(memory_format=torch.channels_last)
    exact = copy.deepcopy(block).double()
    x = torch.randn(6, 2, 16, 16).contiguous(memory_format=torch.channels_last)
    for _ in range(10):
        found = torch.autograd.grad(block(x).square().sum(), list(block.parameters()))
    expected = torch.autograd.grad(exact(x.double()).square().sum(), list(exact.parameters()))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-3, atol=1e-3)
