"""The families of encoders by name. A model library is imported only for an architecture that needs it."""

from collections.abc import Callable

from featpoison.encoders.architecture import Architecture
from featpoison.encoders.resnet import CifarResNet18
from featpoison.encoders.trunk import Trunk


def build_trunk(architecture: Architecture) -> Trunk:
    """The trunk of an architecture, with untrained weights.

    Raises EncoderError for a name that timm or torchvision do not know.
    """
    library, colon, name = architecture.name.partition(":")
    if not colon:
        return FAMILIES[library](architecture)
    if library == "timm":
        from featpoison.encoders.timm_models import timm_model

        return timm_model(name)
    from featpoison.encoders.torchvision_models import torchvision_model

    return torchvision_model(name)


def _cifar_resnet18(architecture: Architecture) -> Trunk:
    network = CifarResNet18(architecture.width, architecture.stem_stride)
    return Trunk(network, network.dimension)


def _resnet50(architecture: Architecture) -> Trunk:
    from featpoison.encoders.resnet50 import ResNet50

    network = ResNet50()
    return Trunk(network, network.dimension, ("fc",))


def _vit_base_16(architecture: Architecture) -> Trunk:
    from featpoison.encoders.timm_models import timm_model

    return timm_model("vit_base_patch16_224")


def _clip_resnet50(architecture: Architecture) -> Trunk:
    from featpoison.encoders.clip import ClipResNet50

    network = ClipResNet50()
    return Trunk(network, network.dimension)


FAMILIES: dict[str, Callable[[Architecture], Trunk]] = {
    "cifar-resnet18": _cifar_resnet18,
    "resnet50": _resnet50,
    "vit-base-16": _vit_base_16,
    "clip-resnet50": _clip_resnet50,
}
