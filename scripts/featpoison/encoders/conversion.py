"""Published checkpoints to encoders.

Every tensor of a checkpoint is used, or dropped by its name and logged, or part of an error that lists it.
"""

import logging
import pickle
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, get_args

import torch
from pydantic import model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from featpoison.common.settings import Settings
from featpoison.encoders.architecture import Architecture
from featpoison.encoders.encoder import Encoder, check_fit
from featpoison.encoders.torchscript import is_torchscript, read_torchscript
from featpoison.encoders.trunk import EncoderError

log = logging.getLogger(__name__)
Format = Literal["moco-v3", "clip", "torchvision", "timm", "simclr"]
FORMATS = get_args(Format)
UNREADABLE = (
    pickle.UnpicklingError,
    SafetensorError,
    zipfile.BadZipFile,
    RuntimeError,
    EOFError,
    KeyError,
    TypeError,
    ValueError,
)
COUNTER = ".num_batches_tracked"
"""How the names of BatchNorms' counters end. Older files do not have them, and no feature depends on them."""


class CheckpointLayout(NamedTuple):
    """How one kind of checkpoint names its tensors."""

    architectures: tuple[str, ...]
    """Names of the architectures that it can hold. A name that ends in a colon stands for all of that
    library."""
    prefixes: tuple[str, ...] = ("",)
    """The encoder's tensors have the first of these prefixes that occurs in any name."""
    dropped: tuple[str, ...] = ()
    """What else is in the file: a name means that tensor, or all tensors below it. The encoder's classifier
    or projection head is dropped, too, and need not be named here."""


CHECKPOINT_LAYOUTS: dict[str, CheckpointLayout] = {
    # github.com/facebookresearch/moco-v3, whose linear evaluation also takes the base encoder
    "moco-v3": CheckpointLayout(
        ("resnet50", "vit-base-16"),
        ("module.base_encoder.", "base_encoder."),
        ("module.momentum_encoder", "module.predictor", "momentum_encoder", "predictor"),
    ),
    # github.com/openai/CLIP: beside the image encoder, a text encoder and three numbers
    "clip": CheckpointLayout(
        ("clip-resnet50",),
        ("visual.",),
        (
            "transformer",
            "token_embedding",
            "positional_embedding",
            "ln_final",
            "text_projection",
            "logit_scale",
            "input_resolution",
            "context_length",
            "vocab_size",
        ),
    ),
    "torchvision": CheckpointLayout(("resnet50", "torchvision:")),
    "timm": CheckpointLayout(("vit-base-16", "clip-resnet50", "timm:")),
    # this project's: the checkpoint of pre-training (encoder, two layers of projection head, momenta), or an
    # encoder's file
    "simclr": CheckpointLayout(
        ("cifar-resnet18",), ("network.0.trunk.", ""), ("network.1", "network.3", "momentum")
    ),
}


class Conversion(Settings):
    """What kind of checkpoint a file is, and what it holds."""

    format: Format
    """How the checkpoint names its tensors."""
    architecture: Architecture
    """The architecture that it holds."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        check_format(self.format, self.architecture)
        return self


def check_format(form: str, architecture: Architecture) -> None:
    """Raises ValueError where checkpoints of the format `form` hold no such architecture."""
    possible = CHECKPOINT_LAYOUTS[form].architectures

    def fits(name: str) -> bool:
        return architecture.name == name or (name.endswith(":") and architecture.name.startswith(name))

    if not any(fits(name) for name in possible):
        expected = ", ".join(f"{name}NAME" if name.endswith(":") else name for name in possible)
        raise ValueError(
            f"architecture.name: {architecture.name!r} does not fit format {form!r}, "
            f"expected one of {expected}"
        )


def convert(path: Path, conversion: Conversion) -> Encoder:
    """The frozen encoder in the checkpoint at `path`, in float32, on the CPU.

    The file is read without executing anything of it. Raises EncoderError where it is no checkpoint, where
    its tensors do not fit, or where timm or torchvision have no model of the name.
    """
    tensors = read_tensors(path)
    encoder = Encoder(conversion.architecture)
    expected = encoder.trunk.state_dict()
    weights = _own_tensors(path, tensors, conversion.format, encoder.classifier)
    if conversion.format == "clip":
        from featpoison.encoders.clip import from_openai

        weights = from_openai(weights, encoder.trunk)
    counters = {key: torch.tensor(0) for key in expected.keys() - weights.keys() if key.endswith(COUNTER)}
    if counters:
        log.info("%s: has no counters of BatchNorm updates, set to 0 (%d tensors)", path.name, len(counters))
    encoder.trunk.load_state_dict(check_fit(path, weights | counters, expected))
    return encoder.freeze()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors by name in a safetensors file, a TorchScript archive or a checkpoint of `torch.save`.

    Types and shapes are those of the file; all are on the CPU. Raises FileNotFoundError, or EncoderError
    where the file cannot be read safely.
    """
    with open(path, "rb") as file:
        head = file.read(9)
    try:
        if head[8:] == b"{":
            return load_file(path)
        if is_torchscript(path):
            return read_torchscript(path)
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except UNREADABLE as error:
        raise EncoderError(f"{path}: no checkpoint that can be read safely: {error}") from error
    return _named(path, state)


def _named(path: Path, state: Any) -> dict[str, Tensor]:
    """The state dict in what `torch.save` wrote: the object, or what is under `state_dict` or `model`."""
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            others = sorted(str(other) for other in state.keys() - {key})
            log.info("%s: '%s' is taken, dropped %s", path.name, key, others)
            state = state[key]
    if not isinstance(state, dict):
        raise EncoderError(f"{path}: holds a {type(state).__name__}, expected a dictionary of tensors")
    others = sorted(str(key) for key, value in state.items() if not isinstance(value, Tensor))
    if others:
        raise EncoderError(
            f"{path}: {others} are no tensors, expected a dictionary of tensors, itself or under 'state_dict'"
        )
    return state


def _own_tensors(
    path: Path, tensors: dict[str, Tensor], form: str, classifier: tuple[str, ...]
) -> dict[str, Tensor]:
    """The encoder's tensors, without their prefix; what is dropped is logged.

    Unknown tensors stay among them, so that `check_fit` finds and lists them.
    """
    layout = CHECKPOINT_LAYOUTS[form]
    present = [prefix for prefix in layout.prefixes if any(key.startswith(prefix) for key in tensors)]
    prefix = present[0] if present else layout.prefixes[0]
    names = (*layout.dropped, *(prefix + name for name in classifier))
    own: dict[str, Tensor] = {}
    dropped: Counter[str] = Counter()
    for key, value in tensors.items():
        name = next((name for name in names if key == name or key.startswith(name + ".")), None)
        if name is not None:
            dropped[name] += 1
        elif key.startswith(prefix):
            own[key.removeprefix(prefix)] = value
        else:
            own[f"{key} (not below {prefix})"] = value
    for name, count in sorted(dropped.items()):
        log.info("%s: dropped %s (%d tensors)", path.name, name, count)
    return own
