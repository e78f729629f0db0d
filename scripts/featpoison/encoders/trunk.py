"""What lies behind every encoder: a trunk, the network from normalised images to features."""

from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from featpoison.encoders.architecture import Channels, Interpolation


class EncoderError(ValueError):
    """Something is not the encoder that it should be. The message lists names of tensors or models.

    A weights file has other tensors, for example, or no library knows the name.
    """


class Trunk(NamedTuple):
    """A network from normalised images (n, 3, h, w) to features (n, dimension), and what is known of it."""

    network: nn.Module
    """The network, with untrained weights."""
    dimension: int
    """Number of features."""
    classifier: tuple[str, ...] = ()
    """Names of the layers that the published model has after the features, and this network has not."""
    normalisation: tuple[Channels, Channels] | None = None
    """Mean and standard deviation of pixels, where only the library knows them."""
    interpolation: Interpolation | None = None
    """How images are resized, where only the library knows it."""


@runtime_checkable
class Staged(Protocol):
    """A network that is a sequence of stages and a pooling."""

    def maps(self, x: Tensor) -> list[Tensor]:
        """Normalised images (n, 3, h, w) -> the maps of the stem and of each stage, (n, channels, ...)."""

    def pool(self, last: Tensor) -> Tensor:
        """The last of the maps -> features (n, d)."""
