"""Published checkpoints to encoders: every tensor is used, dropped by name and logged, or an error that lists it."""

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
from featpoison.encoders.trunks import EncoderError

log = logging.getLogger(__name__)
Format = Literal["moco-v3", "clip", "torchvision", "timm", "simclr"]
FORMATS = get_args(Format)
UNREADABLE = (pickle.UnpicklingError, SafetensorError, zipfile.BadZipFile, RuntimeError, EOFError, KeyError, TypeError, ValueError)
COUNTER = ".num_batches_tracked"  # of a BatchNorm; older files lack it, and no feature depends on it


class Layout(NamedTuple):
    """How a checkpoint names its tensors. A dropped name means that tensor, or all below it."""

    architectures: tuple[str, ...]
    """Names that it can hold; one that ends in a colon: all of that library."""
    prefixes: tuple[str, ...] = ("",)
    """The encoder's tensors are below the first of these that any name has."""
    dropped: tuple[str, ...] = ()
    """What else is in the file; the encoder's classifier or projection head comes on top of it."""


LAYOUTS: dict[str, Layout] = {
    # github.com/facebookresearch/moco-v3: linear evaluation is on the base encoder too
    "moco-v3": Layout(
        ("resnet50", "vit-base-16"),
        ("module.base_encoder.", "base_encoder."),
        ("module.momentum_encoder", "module.predictor", "momentum_encoder", "predictor"),
    ),
    # github.com/openai/CLIP: beside the image encoder a text encoder and three numbers
    "clip": Layout(
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
    "torchvision": Layout(("resnet50", "torchvision:")),
    "timm": Layout(("vit-base-16", "clip-resnet50", "timm:")),
    # this project's: the resumable state of pre-training (encoder, two layers of projection head, momenta), or an encoder's file
    "simclr": Layout(("cifar-resnet18",), ("network.0.trunk.", ""), ("network.1", "network.3", "momentum")),
}


class Conversion(Settings):
    """What a foreign checkpoint is."""

    format: Format
    """How it names its tensors."""
    architecture: Architecture
    """What it holds."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        check_format(self.format, self.architecture)
        return self


def check_format(form: str, architecture: Architecture) -> None:
    """ValueError where files of this format hold no such architecture."""
    possible = LAYOUTS[form].architectures
    if not any(architecture.name == name or (name.endswith(":") and architecture.name.startswith(name)) for name in possible):
        expected = ", ".join(f"{name}NAME" if name.endswith(":") else name for name in possible)
        raise ValueError(f"architecture.name: {architecture.name!r} does not fit format {form!r}, expected one of {expected}")


def convert(path: Path, conversion: Conversion) -> Encoder:
    """The frozen encoder, in float32, in the checkpoint `path`; it is read without executing anything of it.

    Raises EncoderError where it is no checkpoint, its tensors do not fit, or timm or torchvision have no model of this name.
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
    """The named tensors of a safetensors file, a TorchScript archive or a `torch.save` checkpoint. Raises EncoderError."""
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
    """The state dict in what `torch.save` wrote: itself, or under the usual key."""
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            log.info("%s: '%s' is taken, dropped %s", path.name, key, sorted(str(other) for other in state.keys() - {key}))
            state = state[key]
    if not isinstance(state, dict):
        raise EncoderError(f"{path}: holds a {type(state).__name__}, expected a dictionary of tensors")
    others = sorted(str(key) for key, value in state.items() if not isinstance(value, Tensor))
    if others:
        raise EncoderError(f"{path}: {others} are no tensors, expected a dictionary of tensors, itself or under 'state_dict'")
    return state


def _own_tensors(path: Path, tensors: dict[str, Tensor], form: str, classifier: tuple[str, ...]) -> dict[str, Tensor]:
    """Those of the encoder, without their prefix; unknown ones stay, so that they are found to be left over. Logs what is dropped."""
    layout = LAYOUTS[form]
    prefix = next((prefix for prefix in layout.prefixes if any(key.startswith(prefix) for key in tensors)), layout.prefixes[0])
    names = (*layout.dropped, *(prefix + name for name in classifier))
    own: dict[str, Tensor] = {}
    dropped: Counter[str] = Counter()
    for key, value in tensors.items():
        name = next((name for name in names if key == name or key.startswith(name + ".")), None)
        if name is None:
            own[key.removeprefix(prefix) if key.startswith(prefix) else f"{key} (not below {prefix})"] = value
        else:
            dropped[name] += 1
    for name, count in sorted(dropped.items()):
        log.info("%s: dropped %s (%d tensors)", path.name, name, count)
    return own
