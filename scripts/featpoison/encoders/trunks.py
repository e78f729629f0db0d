"""The networks behind encoders, by name. Model libraries are imported only by the architectures that need them."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from featpoison.encoders.architecture import Architecture, Channels
from featpoison.encoders.resnet import CifarResNet18


class Trunk(NamedTuple):
    """A network that takes normalised images, (n, 3, h, w), to features (n, dimension)."""

    network: nn.Module
    dimension: int
    classifier: tuple[str, ...] = ()
    """Names of the layers that the published model has after the features, and this one has not."""
    normalisation: tuple[Channels, Channels] | None = None
    """Mean and standard deviation, where only the library knows them."""


@runtime_checkable
class Staged(Protocol):
    """A trunk that is a sequence of stages and a pooling."""

    def maps(self, x: Tensor) -> list[Tensor]:
        """The maps of the stem and of each stage, (n, channels, height, width) each."""

    def pool(self, last: Tensor) -> Tensor:
        """The last of them -> features (n, d)."""


class EncoderError(ValueError):
    """Not the encoder that it should be: a weights file with other keys, a name that no library knows; the message lists keys or names."""


def build_trunk(architecture: Architecture) -> Trunk:
    """The trunk with untrained weights. Raises EncoderError for a name that the library does not know."""
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
