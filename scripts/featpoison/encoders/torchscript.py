"""The tensors of a TorchScript archive, read without executing any of its code.

An archive is a zip file with one folder. `data.pkl` is the tree of modules, `data/N` are the storages of
tensors, little-endian, and `code/` is never looked at. The unpickler here knows tensors, plain containers and
lists of numbers. Every class of the archive, `__torch__.*`, becomes an object that has attributes and does
nothing. Any other name is refused.
"""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

STORAGES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class Inert:
    """An object of the archive, which has attributes and no behaviour."""

    def __setstate__(self, state: Any) -> None:
        """Called by the unpickler with the object's attributes, which are kept."""
        self.attributes = state if isinstance(state, dict) else {}


def is_torchscript(path: Path) -> bool:
    """Whether `path` is a TorchScript archive, and no checkpoint of `torch.save`."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = [name.partition("/")[2] for name in archive.namelist()]
    return "constants.pkl" in names and "data.pkl" in names


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Parameters and buffers by their dotted names, on the CPU, with the types and shapes of the archive.

    Raises pickle.UnpicklingError, naming what an archive should not hold.
    """
    with zipfile.ZipFile(path) as archive:
        folder = archive.namelist()[0].partition("/")[0]
        order = f"{folder}/byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise pickle.UnpicklingError(f"{path}: byte order {archive.read(order)!r}, expected little")
        with archive.open(f"{folder}/data.pkl") as file:
            root = _Unpickler(file, lambda name: archive.read(f"{folder}/data/{name}")).load()
    return dict(_tensors(root, ""))


def _tensors(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    """The tensors in a value and the attributes below it, with their dotted names below `name`."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Inert):
        for key, attribute in value.attributes.items():
            yield from _tensors(attribute, f"{name}.{key}" if name else key)


class _Unpickler(pickle.Unpickler):
    """Refuses every name but those of tensors, of containers, and of the archive's own classes."""

    def __init__(self, file: Any, read: Callable[[str], bytes]) -> None:
        super().__init__(file)
        self.read = read
        self.storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "__torch__" or module.startswith("__torch__."):
            return Inert
        if module == "torch" and name in STORAGES:
            return name
        allowed = {
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("collections", "OrderedDict"): OrderedDict,
            ("torch.jit._pickle", "restore_type_tag"): _first,
        } | {
            ("torch.jit._pickle", f"build_{kind}list"): _first for kind in ("int", "double", "bool", "tensor")
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(
                f"the archive names {module}.{name}, expected tensors and plain containers only"
            )
        return allowed[module, name]

    def persistent_load(self, pid: Any) -> Tensor:
        """The storage that ('storage', type, name, device, size) refers to, as a flat tensor."""
        _, kind, name, _, _ = pid
        if name not in self.storages:
            content = bytearray(self.read(name))
            self.storages[name] = (
                torch.frombuffer(content, dtype=STORAGES[kind])
                if content
                else torch.empty(0, dtype=STORAGES[kind])
            )
        return self.storages[name]


def _tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    return storage.as_strided(size, stride, offset)


def _first(value: Any, *_: Any) -> Any:
    return value
