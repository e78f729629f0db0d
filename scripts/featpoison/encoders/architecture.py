"""The description from which an encoder can be rebuilt, without its weights. Imports no model library."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, SerializerFunctionWrapHandler, model_serializer, model_validator

from featpoison.common.settings import Settings

Channels = tuple[float, float, float]
Interpolation = Literal["bilinear", "bicubic"]
CIFAR10: tuple[Channels, Channels] = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
IMAGENET: tuple[Channels, Channels] = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP: tuple[Channels, Channels] = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
NORMALISATIONS = {
    "cifar-resnet18": CIFAR10,
    "resnet50": IMAGENET,
    "vit-base-16": IMAGENET,
    "clip-resnet50": CLIP,
}
WITH_MAPS = ("cifar-resnet18", "resnet50", "clip-resnet50")
"""The architectures whose stages decoders can read."""
LIBRARY_NAMES = r"(timm|torchvision):[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?"
NAMES = rf"^(cifar-resnet18|resnet50|vit-base-16|clip-resnet50|{LIBRARY_NAMES})$"


def _published(data: dict[str, Any], index: int) -> Channels | None:
    """The mean (index 0) or standard deviation (1) of the pixels that published weights were trained on."""
    name = data.get("name", "")
    if name.startswith("timm:"):
        return None
    return NORMALISATIONS.get(name, IMAGENET)[index]


def _published_interpolation(data: dict[str, Any]) -> Interpolation | None:
    """How the weights' authors resize images; null where only a library knows."""
    name = data.get("name", "")
    if ":" in name:
        return None
    return "bicubic" if name == "clip-resnet50" else "bilinear"


class Architecture(Settings):
    """The description from which an encoder can be rebuilt, without its weights."""

    name: Annotated[str, Field(pattern=NAMES)] = "cifar-resnet18"
    """`cifar-resnet18` (3 x 3 stem, no max-pool), `resnet50`, `vit-base-16`, `clip-resnet50`, or `timm:NAME`
    or `torchvision:NAME`, which is a model of that library without its classifier. Whether the library has it
    is checked when the weights are imported."""
    width: PositiveInt = 64
    """`cifar-resnet18` only: channels of the first stage; there are eight times as many features."""
    stem_stride: Literal[1, 2] = 1
    """`cifar-resnet18` only: stride of the first convolution."""
    side: PositiveInt | None = None
    """Side in pixels to which images are resized inside the encoder, with antialiasing; null: they are taken
    as they are."""
    interpolation: Interpolation | None = Field(default_factory=_published_interpolation)
    """How they are resized. The default is what the weights' authors do when they evaluate: `bicubic` for
    `clip-resnet50`, `bilinear` for MoCo v3's `resnet50` and `vit-base-16`. For `timm:NAME` and
    `torchvision:NAME` it is null, and the library fills it in; torchvision's is that of its default
    weights."""
    mean: Channels | None = Field(default_factory=lambda data: _published(data, 0))
    """Mean of each channel, which the encoder subtracts from pixels in [0, 1]. The default is that of the
    weights' training: CIFAR-10's, ImageNet's or CLIP's. For `timm:NAME` it is null, and the library fills it
    in."""
    std: Channels | None = Field(default_factory=lambda data: _published(data, 1))
    """Standard deviation of each channel, by which the encoder then divides; its default is that of
    `mean`."""

    @model_validator(mode="after")
    def _fits_the_name(self) -> Self:
        given = sorted(self.model_fields_set & {"width", "stem_stride"})
        if given and not self.is_cifar:
            raise ValueError(f"{given} is given, expected only with cifar-resnet18 (found {self.name})")
        if "interpolation" in self.model_fields_set and self.side is None:
            raise ValueError("'interpolation' is given, expected only with a 'side'")
        if self.interpolation is None and ":" not in self.name:
            raise ValueError(f"'interpolation' is null, expected bilinear or bicubic for {self.name}")
        if (self.mean is None) != (self.std is None):
            raise ValueError("'mean' and 'std': expected both or neither")
        if self.mean is None and not self.name.startswith("timm:"):
            raise ValueError(f"'mean' and 'std' are null, expected numbers for {self.name}")
        if self.std is not None and min(self.std) <= 0:
            raise ValueError(f"'std' is {list(self.std)}, expected positive numbers")
        return self

    @model_serializer(mode="wrap")
    def _without_what_does_not_apply(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves out of the JSON what does not apply: widths of other architectures, a side that is null and
        its interpolation."""
        values = handler(self)
        hidden = set() if self.is_cifar else {"width", "stem_stride"}
        if self.side is None:
            hidden |= {"side", "interpolation"}
        return {key: value for key, value in values.items() if key not in hidden}

    @property
    def is_cifar(self) -> bool:
        """Whether it is this project's own ResNet-18, the only architecture with a width."""
        return self.name == "cifar-resnet18"
