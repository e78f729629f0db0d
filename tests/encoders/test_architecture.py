"""Descriptions of encoders."""

import pytest
import timm
import torchvision
from featpoison.encoders.architecture import CLIP, IMAGENET, Architecture
from featpoison.encoders.encoder import Encoder


def test_architectures_survive_json():
    for name in (
        "resnet50",
        "clip-resnet50",
        "vit-base-16",
        "timm:resnet50",
        "cifar-resnet18",
        "torchvision:resnet18",
    ):
        for settings in (
            {},
            {"side": 64},
            {"side": 64, "interpolation": "bicubic"},
            {"mean": (0.1, 0.2, 0.3), "std": (1.0, 1.0, 1.0)},
        ):
            architecture = Architecture(name=name, **settings)
            assert Architecture.model_validate_json(architecture.model_dump_json()) == architecture
    assert isinstance(Encoder(Architecture(name="timm:resnet10t")).architecture.mean, tuple)


def test_normalisations_are_the_published_ones():
    for ours, name in ((CLIP, "resnet50_clip.openai"), (IMAGENET, "resnet50.tv_in1k")):
        config = timm.get_pretrained_cfg(name)
        assert ours == (config.mean, config.std)
    transform = torchvision.models.ResNet50_Weights.DEFAULT.transforms()
    assert (tuple(transform.mean), tuple(transform.std)) == IMAGENET
    for name, expected in (
        ("clip-resnet50", CLIP),
        ("resnet50", IMAGENET),
        ("vit-base-16", IMAGENET),
        ("torchvision:resnet18", IMAGENET),
    ):
        architecture = Architecture(name=name)
        assert (architecture.mean, architecture.std) == expected
    assert Architecture(name="timm:vit_tiny_patch16_224.augreg_in21k").mean is None
    assert Encoder(Architecture(name="timm:vit_tiny_patch16_224.augreg_in21k")).architecture.mean == (
        0.5,
        0.5,
        0.5,
    )


def test_interpolations_are_the_published_ones():
    assert timm.get_pretrained_cfg("resnet50_clip.openai").interpolation == "bicubic"
    for name, expected in (
        ("clip-resnet50", "bicubic"),
        ("resnet50", "bilinear"),
        ("vit-base-16", "bilinear"),
        ("cifar-resnet18", "bilinear"),
        ("timm:resnet10t", None),
        ("torchvision:swin_t", None),
    ):
        assert Architecture(name=name, side=64).interpolation == expected
    for name, expected in (
        ("timm:resnet10t", timm.get_pretrained_cfg("resnet10t").interpolation),
        ("timm:resnet50.tv_in1k", "bilinear"),
        ("torchvision:swin_t", torchvision.models.Swin_T_Weights.DEFAULT.transforms().interpolation.value),
        ("torchvision:resnet18", "bilinear"),
    ):
        assert Encoder(Architecture(name=name, side=64)).architecture.interpolation == expected
    chosen = Architecture(name="torchvision:resnet18", side=64, interpolation="bicubic")
    assert Encoder(chosen).architecture.interpolation == "bicubic"


def test_an_interpolation_without_a_resize_is_refused_and_not_written():
    assert "interpolation" not in Architecture(name="clip-resnet50").model_dump()
    assert Architecture(name="clip-resnet50", side=64).model_dump()["interpolation"] == "bicubic"
    with pytest.raises(ValueError, match="'interpolation' is given, expected only with a 'side'"):
        Architecture(name="clip-resnet50", interpolation="bicubic")
    with pytest.raises(
        ValueError, match="'interpolation' is null, expected bilinear or bicubic for resnet50"
    ):
        Architecture(name="resnet50", side=64, interpolation=None)
