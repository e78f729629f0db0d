"""Descriptions of encoders."""

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
        for settings in ({}, {"side": 64}, {"mean": (0.1, 0.2, 0.3), "std": (1.0, 1.0, 1.0)}):
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
