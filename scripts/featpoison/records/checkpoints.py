"""Resumable state of long work: tensors and JSON in a safetensors file that lies hidden beside the product.

Snakemake deletes the outputs of a rule before it runs the rule, so a state cannot be an output. A state holds
the digest of the provenance record that its product will have; one that belongs to other inputs, settings or
code is so recognised and ignored.

Importing this module does not import torch; only loading and saving do.
"""

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from featpoison.common.files import NotWritten, replacing
from featpoison.records.provenance import Record, canonical_json, sha256_bytes

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

log = logging.getLogger(__name__)
SHARE_OF_TIME = 0.02  # of a run that its saves may take


class Checkpoint:
    """The state file of one product."""

    def __init__(self, output: Path, record: Record) -> None:
        """The state of the work on `output`, whose provenance record will be `record`.

        Nothing is read or written yet.
        """
        self.path = output.with_name(f".{output.name}.state")
        self.binding = sha256_bytes(canonical_json(record).encode())
        self._saved, self._cost = time.monotonic(), 0.0

    def due(self) -> bool:
        """Whether the last `save` took at most `SHARE_OF_TIME` of the time that has passed since; true before
        the first one.

        A state may hold all images of a run and its disk may be slow, while a step takes seconds.
        """
        return self._cost <= SHARE_OF_TIME * (time.monotonic() - self._saved)

    def load(self) -> "tuple[dict[str, Tensor], dict] | None":
        """The tensors, on the CPU, and the facts of the last `save`.

        None where there is nothing to resume from: there is no file, or it is damaged, or it belongs to other
        inputs, settings or code.
        """
        try:
            with safe_open(self.path, "pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("binding") != self.binding:
                    log.info("%s: belongs to other inputs, settings or code; starting anew", self.path)
                    return None
                names = file.keys()  # the file itself is not iterable
                # Tensors of a mapped file begin anywhere; copies begin where new tensors do. Matrix products
                # on AVX-512 depend on that by a bit, and a run that resumes has to compute what an
                # undisturbed one does.
                tensors = {name: file.get_tensor(name).clone() for name in names}
                return tensors, json.loads(metadata["facts"])
        except FileNotFoundError:
            return None
        except SafetensorError as error:
            log.warning("%s: unreadable (%s); starting anew", self.path, error)
            return None

    def save(self, tensors: "Mapping[str, Tensor]", **facts: object) -> None:
        """Replace the state by `tensors`, of any shape and device, and by `facts`, which have to be JSON.

        The file appears whole or not at all. Raises NotWritten where the disk is full.
        """
        from safetensors.torch import save_file

        started = time.monotonic()
        on_cpu = {name: value.contiguous().cpu() for name, value in tensors.items()}
        metadata = {"binding": self.binding, "facts": canonical_json(facts)}
        with replacing(self.path) as temporary:
            try:
                save_file(on_cpu, temporary, metadata)  # unlike `save`, without a copy of the tensors
            except SafetensorError as error:
                raise NotWritten(
                    f"{self.path}: not written ({error}); the last state is as it was"
                ) from error
        self._saved = time.monotonic()
        self._cost = self._saved - started

    def remove(self) -> None:
        """Delete the state, because the product is finished. Nothing happens where there is none."""
        self.path.unlink(missing_ok=True)


def pack(**groups: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Named groups of named tensors as one dictionary with the keys "group.name"; `unpack` is the inverse.

    A group's name has no dot, as no keyword has. Names within a group may have dots.
    """
    return {f"{group}.{name}": value for group, tensors in groups.items() for name, value in tensors.items()}


def unpack(tensors: "Mapping[str, Tensor]") -> "dict[str, dict[str, Tensor]]":
    """The groups that `pack` joined: every key "group.name" is split at its first dot.

    A group that was empty is missing. Raises ValueError for a key without a dot, which `pack` never makes.
    """
    groups: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        group, dot, name = key.partition(".")
        if not dot:
            raise ValueError(f"key {key!r}, expected 'group.name'")
        groups.setdefault(group, {})[name] = value
    return groups


def optimizer_tensors(optimizer: "Optimizer") -> "dict[str, Tensor]":
    """The state of an optimiser under the keys "INDEX.NAME".

    For optimisers whose state consists of tensors alone, such as SGD and Adam. INDEX is the position of the
    parameter in the optimiser, from 0. NAME is torch's name, such as `momentum_buffer` or `exp_avg`. Before
    the first step there are none. Step sizes and other settings are not included.
    """
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": value for index, values in state.items() for name, value in values.items()}


def load_optimizer(optimizer: "Optimizer", tensors: "Mapping[str, Tensor]") -> None:
    """Give `optimizer`, in place, the state that `optimizer_tensors` took from another one.

    Both optimisers have to have the same parameters. Tensors move to the device of their parameter; step
    sizes and other settings stay as they are. Raises ValueError for a key that is not "INDEX.NAME".
    """
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
