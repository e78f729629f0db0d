"""Encoders as they were after some epochs of one pre-training: what a training that stops early ends with.

While training runs, each lies hidden in a file of its own beside the product, as checkpoints do. At the end
they are joined in one safetensors file, whose tensors are named `epochN.NAME`.
"""

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from featpoison.common.files import replacing
from featpoison.encoders.architecture import Architecture
from featpoison.encoders.encoder import Encoder, save_weights
from featpoison.encoders.trunk import EncoderError
from featpoison.records.checkpoints import unpack
from featpoison.records.provenance import Record, canonical_json, of_product
from featpoison.records.seal import read_metadata


class Snapshots:
    """The encoders of one pre-training after the epochs that are asked for."""

    def __init__(self, output: Path, epochs: Iterable[int]) -> None:
        """Those of the training whose product is `output`, after `epochs`, counted from 1.

        Nothing is read or written yet.
        """
        self.epochs = sorted(set(epochs))
        self._files = {epoch: output.with_name(f".{output.name}.epoch{epoch}") for epoch in self.epochs}

    def keep(self, epoch: int, encoder: Encoder) -> None:
        """Keep the encoder, which stays as it is, where this epoch is asked for."""
        if epoch in self._files:
            with replacing(self._files[epoch]) as temporary:
                save_file(_weights(encoder), temporary)

    def join(self, path: Path, encoder: Encoder, provenance: Record, losses: list[float]) -> None:
        """Write all that were kept to `path`.

        Architecture, provenance and losses of the whole training are stored with them. Raises
        FileNotFoundError where one was not kept.
        """
        tensors = {
            f"epoch{epoch}.{name}": value
            for epoch, file in self._files.items()
            for name, value in load_file(file).items()
        }
        metadata = {
            "architecture": encoder.architecture.model_dump_json(),
            "provenance": canonical_json(of_product(provenance, path)),
            "losses": canonical_json(losses),
        }
        save_weights(path, tensors, metadata)

    def remove(self) -> None:
        """Delete the hidden files. Nothing happens where there are none."""
        for file in self._files.values():
            file.unlink(missing_ok=True)


def load_snapshot(path: Path, epoch: int) -> tuple[Encoder, list[float]]:
    """The frozen encoder after this epoch, in float32, on the CPU, and the losses of the epochs up to there.

    Raises FileNotFoundError, WeightsError for what is no safetensors file, and EncoderError for an epoch that
    was not kept or weights that do not fit.
    """
    metadata, groups = read_metadata(path), unpack(load_file(path))
    if (weights := groups.get(f"epoch{epoch}")) is None:
        kept = ", ".join(str(one) for one in sorted(int(name.removeprefix("epoch")) for name in groups))
        raise EncoderError(f"{path}: 'epoch' is {epoch}, expected one of {kept}")
    encoder = Encoder(Architecture.model_validate_json(canonical_json(metadata["architecture"])))
    encoder.trunk.load_state_dict(weights)
    return encoder.freeze(), metadata["losses"][:epoch]


def _weights(encoder: Encoder) -> dict[str, Tensor]:
    """The trunk's tensors on the CPU, in bfloat16 where they are floating-point, as encoders are stored."""
    return {
        name: (value.to(torch.bfloat16) if value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in encoder.trunk.state_dict().items()
    }
