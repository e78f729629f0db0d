"""Encoders by name: a library's model, its resize and normalisation, what is folded."""

import copy
import subprocess
import sys

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from featpoison.encoders.architecture import CLIP, IMAGENET, Architecture
from featpoison.encoders.conversion import Conversion, convert
from featpoison.encoders.decoder import build
from featpoison.encoders.encoder import Encoder, EncoderError, load_encoder, save_encoder
from featpoison.encoders.features import extract, pull_back
from featpoison.encoders.resize import resize
from helpers import RECORD, ROOT
from safetensors.torch import save_file
from torch import nn

TIMM = [("resnet10t", 64), ("vit_tiny_patch16_224.augreg_in21k", 224), ("mobilenetv3_small_050.lamb_in1k", 64), ("convnext_atto", 64)]
TORCHVISION = ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5"]


def lively(network, pixels):
    """In place: BatchNorm statistics of these images. Returns the network, in evaluation mode."""
    with torch.no_grad():
        network.train()(pixels)
    return network.eval()


def preprocessed(pixels, side, mean, std):
    """As transforms do it: torch's own resize, then the normalisation."""
    pixels = F.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
    return torchvision.transforms.functional.normalize(pixels, mean, std)


@pytest.fixture
def pixels(generator):
    return torch.rand(4, 3, 8, 8, generator=generator).repeat_interleave(5, 2).repeat_interleave(5, 3)  # 40 pixels


@pytest.mark.parametrize(("name", "side"), TIMM)
def test_timm_model(name, side, pixels, tmp_path):
    torch.manual_seed(0)
    model = lively(timm.create_model(name, pretrained=False), torch.rand(4, 3, side, side))
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    encoder = convert(tmp_path / "model.safetensors", Conversion(format="timm", architecture=Architecture(name=f"timm:{name}", side=side)))
    with torch.no_grad():
        x = preprocessed(pixels, side, model.pretrained_cfg["mean"], model.pretrained_cfg["std"])
        expected = model.forward_head(model.forward_features(x), pre_logits=True)
        torch.testing.assert_close(encoder(pixels), expected, rtol=1e-5, atol=1e-5)
    assert expected.shape == (4, encoder.dimension)
    with pytest.raises(EncoderError, match=f"timm:{name} has no maps of stages, which decoders need"):
        build(encoder, "skip", (40, 40), (8, 8))


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_model(name, pixels, tmp_path):
    torch.manual_seed(0)
    model = lively(torchvision.models.get_model(name, weights=None), torch.rand(4, 3, 96, 96))
    torch.save(model.state_dict(), tmp_path / "model.pth")
    encoder = convert(tmp_path / "model.pth", Conversion(format="torchvision", architecture=Architecture(name=f"torchvision:{name}", side=96)))
    seen = []
    classifier = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    classifier.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(preprocessed(pixels, 96, *IMAGENET))
        torch.testing.assert_close(encoder(pixels), seen[0], rtol=1e-5, atol=1e-5)
    assert seen[0].shape == (4, encoder.dimension)


def test_normalisations_are_the_published_ones():
    for ours, name in ((CLIP, "resnet50_clip.openai"), (IMAGENET, "resnet50.tv_in1k")):
        config = timm.get_pretrained_cfg(name)
        assert ours == (config.mean, config.std)
    transform = torchvision.models.ResNet50_Weights.DEFAULT.transforms()
    assert (tuple(transform.mean), tuple(transform.std)) == IMAGENET
    for name, expected in (("clip-resnet50", CLIP), ("resnet50", IMAGENET), ("vit-base-16", IMAGENET), ("torchvision:resnet18", IMAGENET)):
        architecture = Architecture(name=name)
        assert (architecture.mean, architecture.std) == expected
    assert Architecture(name="timm:vit_tiny_patch16_224.augreg_in21k").mean is None
    assert Encoder(Architecture(name="timm:vit_tiny_patch16_224.augreg_in21k")).architecture.mean == (0.5, 0.5, 0.5)


# The resize


@pytest.mark.parametrize(("size", "side"), [((32, 32), 224), ((96, 96), 224), ((96, 64), 32), ((7, 9), 8), ((5, 5), 1)])
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
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, leaf, direction)[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(extract(x, encoder), expected)
    image = (20, 20)
    out = build(encoder, "skip", image, (8, 8, 8, 8, 8))(x)
    assert out.shape == x.shape


@pytest.mark.parametrize("name", ["timm:vit_tiny_patch16_224", pytest.param("resnet50", marks=pytest.mark.slow)])
def test_features_are_not_rounded_by_mixed_precision(name, pixels):
    torch.manual_seed(0)
    encoder = Encoder(Architecture(name=name, side=224)).freeze()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        features = encoder(pixels[:1])
    assert features.dtype == torch.float32
    assert not torch.equal(features, features.bfloat16().float())


# Weights


FOLDED = [("timm:resnet10t", 1), ("torchvision:mobilenet_v3_small", 0), ("timm:convnext_atto", 0)]
FOLDED += [pytest.param(name, 0, marks=pytest.mark.slow) for name in ("resnet50", "clip-resnet50", "timm:resnet50", "torchvision:resnet18")]


@pytest.mark.parametrize(("name", "left"), FOLDED)
def test_folding_and_saving_change_nothing(name, left, pixels, tmp_path):
    torch.manual_seed(0)
    encoder = Encoder(Architecture(name=name, side=64))
    lively(encoder, pixels).freeze()
    save_encoder(tmp_path / "e.safetensors", encoder, RECORD)
    again = load_encoder(tmp_path / "e.safetensors")
    assert again.architecture == encoder.architecture
    assert torch.equal(again(pixels), encoder(pixels))
    encoder.double()
    folded = copy.deepcopy(encoder).fold_batchnorm()
    assert sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules()) == left  # resnet10t's stem is three convolutions
    torch.testing.assert_close(folded(pixels.double()), encoder(pixels.double()), rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_batchnorms_that_follow_no_convolution_stay(pixels):
    """DenseNet normalises first: only its stem is a convolution and its BatchNorm."""
    torch.manual_seed(0)
    encoder = lively(Encoder(Architecture(name="torchvision:densenet121")), pixels).freeze().double()
    folded = copy.deepcopy(encoder).fold_batchnorm()
    counts = [sum(isinstance(module, nn.BatchNorm2d) for module in network.modules()) for network in (encoder, folded)]
    assert counts == [121, 120]
    torch.testing.assert_close(folded(pixels.double()), encoder(pixels.double()), rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_cifar_encoders_import_no_model_library():
    code = (
        "import sys; from featpoison.encoders.encoder import *; import featpoison.encoders.conversion; Encoder(Architecture(width=4)); "
        "sys.exit('timm' in sys.modules or 'torchvision' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT / "scripts", check=False).returncode == 0
