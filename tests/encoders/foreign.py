"""Networks of other implementations, and files that hold them."""

import torch
import torch.nn.functional as F
import torchvision
from featpoison.encoders.architecture import Architecture
from featpoison.encoders.conversion import Conversion
from torch import nn


def conversion(form, name, **settings):
    return Conversion(format=form, architecture=Architecture(name=name, **settings))


def lively(network):
    """In place: weights and statistics under which no layer is an identity, and evaluation mode.

    Returns the network.
    """
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=generator)
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.8, 1.2, generator=generator)
            module.weight.data.uniform_(0.5, 1, generator=generator)
            module.bias.data.normal_(0, 0.1, generator=generator)
    return network.eval()


def normalised(x, normalisation):
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in normalisation)
    return (x - mean) / std


def assert_equal_features(found, expected):
    assert found.shape == expected.shape
    assert expected.std(0).mean() > 0.01 * expected.abs().mean()  # images differ
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def coarse(side):
    """Two images of large patches: encoders average noise away."""
    patches = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    return patches.repeat_interleave(side // 4, 2).repeat_interleave(side // 4, 3)


def with_statistics_of(network, pixels):
    """In place: BatchNorm statistics of these images. Returns the network, in evaluation mode."""
    with torch.no_grad():
        network.train()(pixels)
    return network.eval()


def preprocessed(pixels, side, mean, std, mode="bilinear"):
    """As transforms do it: torch's own resize, then the normalisation."""
    pixels = F.interpolate(pixels, (side, side), mode=mode, antialias=True)
    return torchvision.transforms.functional.normalize(pixels, mean, std)
