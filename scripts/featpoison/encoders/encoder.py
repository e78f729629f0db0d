"""An encoder: architecture, pixel normalisation and weights, in one safetensors file whose metadata says how to build it."""

from pathlib import Path
from typing import Literal

import torch
from pydantic import PositiveInt
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from featpoison.encoders.resnet import BasicBlock, CifarResNet18
from featpoison.files import replacing
from featpoison.provenance import Record, canonical_json
from featpoison.settings import Settings
from featpoison.weights import read_metadata, repeatable, seal


class EncoderError(ValueError):
    """A weights file does not hold the encoder that it should; the message lists the keys."""


class Architecture(Settings):
    """What has to be known to rebuild an encoder."""

    name: Literal["cifar-resnet18"] = "cifar-resnet18"
    """Architecture; `cifar-resnet18` has a 3 x 3 stem and no max-pool."""
    width: PositiveInt = 64
    """Channels of the first stage; the feature dimension is eight times this."""
    stem_stride: Literal[1, 2] = 1
    """Stride of the first convolution."""
    mean: tuple[float, float, float] = (0.4914, 0.4822, 0.4465)
    """Per-channel mean that the encoder subtracts from pixels in [0, 1]; the default is CIFAR-10's."""
    std: tuple[float, float, float] = (0.2470, 0.2435, 0.2616)
    """Per-channel standard deviation that it divides by."""


class Encoder(nn.Module):
    """f: pixels in [0, 1], (n, 3, h, w), to features (n, d). The normalisation is part of f, so gradients are per unit of pixel range."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.trunk = CifarResNet18(architecture.width, architecture.stem_stride)
        self.dimension = self.trunk.dimension
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(architecture.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(architecture.std).view(1, 3, 1, 1), persistent=False)

    def maps(self, pixels: Tensor) -> list[Tensor]:
        """(n, 3, h, w) in [0, 1] -> the maps of the stem and of each stage, (n, channels, height, width) each; features are `pool` of the last."""
        return self.trunk.maps((pixels - self.mean) / self.std)

    def pool(self, last: Tensor) -> Tensor:
        """The last of `maps` -> features (n, d)."""
        return self.trunk.pool(last)

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 3, h, w) in [0, 1] -> (n, d)."""
        return self.pool(self.maps(pixels)[-1])

    def freeze(self) -> "Encoder":
        """In place: evaluation mode, fixed BatchNorm statistics, no gradient for any weight, channels-last. Returns itself."""
        return self.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def fold_batchnorm(self) -> "Encoder":
        """In place, once frozen: each BatchNorm becomes part of its convolution; the function stays the same up to rounding."""
        _fold_pair(self.trunk, "conv1", "bn1")
        for module in self.modules():
            if isinstance(module, BasicBlock):
                _fold_pair(module, "conv1", "bn1")
                _fold_pair(module, "conv2", "bn2")
                if len(module.downsample):
                    _fold_pair(module.downsample, "0", "1")
        return self.to(memory_format=torch.channels_last)


def _fold_pair(parent: nn.Module, convolution: str, batchnorm: str) -> None:
    before, after = parent.get_submodule(convolution), parent.get_submodule(batchnorm)
    assert isinstance(before, nn.Conv2d)
    assert isinstance(after, nn.BatchNorm2d)
    fused = fuse_conv_bn_eval(before, after)
    setattr(parent, convolution, fused)
    setattr(parent, batchnorm, nn.Identity())


def save_encoder(path: Path, encoder: Encoder, provenance: Record, dtype: torch.dtype = torch.float32, **facts: object) -> None:
    """Write the trunk's weights (floats as `dtype`), the architecture, the provenance and further `facts` to `path`, atomically."""
    weights = {
        key: (value.to(dtype) if value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in sorted(encoder.trunk.state_dict().items())
    }
    metadata = {"architecture": encoder.architecture.model_dump_json(), "provenance": canonical_json(provenance)}
    metadata |= {key: canonical_json(value) for key, value in facts.items()}
    save_weights(path, weights, metadata)


def save_weights(path: Path, weights: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors and JSON texts to `path`, sealed, atomically, equal content to equal bytes."""
    metadata = metadata | {"weights": canonical_json(seal(save(weights)))}
    with replacing(path) as temporary:
        temporary.write_bytes(repeatable(save(weights, metadata)))


def load_encoder(path: Path) -> Encoder:
    """The frozen encoder in `path`, in float32. Raises EncoderError for metadata or keys that do not fit."""
    metadata = read_metadata(path)
    if "architecture" not in metadata:
        raise EncoderError(f"{path}: no 'architecture' in its metadata; expected a file written by this project")
    encoder = Encoder(Architecture.model_validate_json(canonical_json(metadata["architecture"])))
    encoder.trunk.load_state_dict(fitting_weights(path, encoder.trunk.state_dict()))
    return encoder.freeze()


def fitting_weights(path: Path, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors in `path`; EncoderError where their keys or shapes are not those of `expected`."""
    weights = load_file(path)
    missing, extra = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    shapes = [key for key in expected.keys() & weights.keys() if expected[key].shape != weights[key].shape]
    if missing or extra or shapes:
        raise EncoderError(f"{path}: missing keys {missing}, left over {extra}, of another shape {sorted(shapes)}")
    return weights
