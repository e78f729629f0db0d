"""An encoder: architecture, normalisation of pixels, and weights.

It is stored as one safetensors file, whose metadata says how to build it.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from featpoison.common.files import replacing
from featpoison.encoders.architecture import Architecture
from featpoison.encoders.families import build_trunk
from featpoison.encoders.folding import fold_batchnorm
from featpoison.encoders.resize import resize
from featpoison.encoders.trunk import EncoderError, Staged
from featpoison.records import seal
from featpoison.records.provenance import Record, canonical_json, of_product
from featpoison.records.seal import read_metadata, sealed


class Encoder(nn.Module):
    """f: pixels in [0, 1], (n, 3, h, w), to features (n, d).

    Resizing and normalisation are part of f, so gradients are per unit of the pixel range.
    """

    def __init__(self, architecture: Architecture) -> None:
        """Weights are untrained. Raises EncoderError where no library knows the name of the architecture."""
        super().__init__()
        built = build_trunk(architecture)
        if built.normalisation and architecture.mean is None:
            architecture = architecture.model_copy(
                update=dict(zip(("mean", "std"), built.normalisation, strict=True))
            )
        if architecture.side is not None and architecture.interpolation is None:
            architecture = architecture.model_copy(update={"interpolation": built.interpolation})
        self.architecture = architecture
        self.trunk, self.dimension, self.classifier = built.network, built.dimension, built.classifier
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(architecture.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(architecture.std).view(1, 3, 1, 1), persistent=False)

    def maps(self, pixels: Tensor) -> list[Tensor]:
        """Pixels (n, 3, h, w) in [0, 1] -> the maps of the stem and of each stage.

        They are (n, channels, height, width) each, and the features are `pool` of the last. Raises
        EncoderError where the architecture has no stages.
        """
        return self._stages().maps(self._prepared(pixels))

    def pool(self, last: Tensor) -> Tensor:
        """The last of `maps` -> features (n, d). Raises EncoderError where the architecture has no stages."""
        return self._stages().pool(last)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (n, 3, h, w) in [0, 1] -> features (n, d)."""
        if isinstance(self.trunk, Staged):
            return self.pool(self.maps(pixels)[-1])
        return self.trunk(self._prepared(pixels))

    def freeze(self) -> "Encoder":
        """In place: evaluation mode, fixed BatchNorm statistics, no gradients of weights.

        Returns the object itself.

        Weights become channels-last, which is faster.
        """
        return self.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def fold_batchnorm(self) -> "Encoder":
        """In place, once frozen: BatchNorms become part of their convolutions. Returns the object itself.

        This is done where it is known to be right (`folding.py`). The function stays the same up to rounding.
        """
        fold_batchnorm(self.trunk)
        return self.to(memory_format=torch.channels_last)

    def _prepared(self, pixels: Tensor) -> Tensor:
        """Pixels, resized and normalised."""
        side, interpolation = self.architecture.side, self.architecture.interpolation
        if side is not None and interpolation is not None:
            pixels = resize(pixels, side, interpolation)
        return (pixels - self.mean) / self.std

    def _stages(self) -> Staged:
        """The trunk as a sequence of stages. Raises EncoderError where it is none."""
        if not isinstance(self.trunk, Staged):
            raise EncoderError(
                f"{self.architecture.name} has no maps of stages, which decoders need; "
                "expected a ResNet of this project"
            )
        return self.trunk


def save_encoder(
    path: Path, encoder: Encoder, provenance: Record, dtype: torch.dtype = torch.float32, **facts: object
) -> None:
    """Write the trunk's weights, the architecture, the provenance and further JSON `facts` to `path`.

    Floating-point weights are stored as `dtype`. The file appears whole or not at all. Raises NotWritten
    where the disk is full.
    """
    weights = {
        key: (value.to(dtype) if value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in sorted(encoder.trunk.state_dict().items())
    }
    metadata = {
        "architecture": encoder.architecture.model_dump_json(),
        "provenance": canonical_json(of_product(provenance, path)),
    }
    metadata |= {key: canonical_json(value) for key, value in facts.items()}
    save_weights(path, weights, metadata)


def save_weights(path: Path, weights: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors by name, and metadata of JSON texts, to `path`, with seals.

    The file appears whole or not at all, and equal contents give equal bytes. Raises NotWritten where the
    disk is full.
    """
    with replacing(path) as temporary:
        content = save(weights, metadata)
        temporary.write_bytes(sealed(content))


def load_encoder(path: Path) -> Encoder:
    """The frozen encoder in `path`, in float32, on the CPU.

    Raises FileNotFoundError, WeightsError for what is no safetensors file, and EncoderError for metadata or
    tensors that do not fit.
    """
    metadata = read_metadata(path)
    if seal.SEALS[0] in metadata:  # only files of foreign making have no seal
        seal.verify(path)
    if "architecture" not in metadata:
        raise EncoderError(
            f"{path}: no 'architecture' in its metadata; expected a file written by this project"
        )
    architecture = metadata["architecture"]
    if architecture.get("side") is not None:
        # Files from before there was a choice: the encoder that they hold resizes bilinearly.
        architecture = {"interpolation": "bilinear"} | architecture
    encoder = Encoder(Architecture.model_validate_json(canonical_json(architecture)))
    encoder.trunk.load_state_dict(fitting_weights(path, encoder.trunk.state_dict()))
    return encoder.freeze()


def fitting_weights(path: Path, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors in `path` by name.

    Raises EncoderError where names or shapes are not those of `expected`.
    """
    return check_fit(path, load_file(path), expected)


def check_fit(path: Path, weights: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns `weights`, which were found in `path`.

    Raises EncoderError, listing names, where names or shapes are not those of `expected`, and for weights
    that are no finite real numbers.
    """
    missing, extra = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    both = sorted(expected.keys() & weights.keys())
    shapes = [key for key in both if expected[key].shape != weights[key].shape]
    if missing or extra or shapes:
        raise EncoderError(f"{path}: missing keys {missing}, left over {extra}, of another shape {shapes}")
    for key in both:
        if weights[key].is_complex() or weights[key].is_quantized:
            raise EncoderError(f"{path}: {key} is {weights[key].dtype}, expected real floating-point weights")
        if not weights[key].isfinite().all():
            raise EncoderError(f"{path}: {key} has NaN or infinity, expected finite weights")
    return weights
