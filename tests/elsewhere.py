"""A device that is not there: tensors on torch's `meta` device that still have values, computed on the CPU.

Code runs on it as on a GPU. A tensor that was made on the wrong device raises, and so does what a GPU cannot
do; what the processor would wait for the GPU for is counted.
"""

from collections import Counter
from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

aten = torch.ops.aten
META, CPU = torch.device("meta"), torch.device("cpu")
WAITS = {
    aten._local_scalar_dense: "item",
    aten.equal: "item",
    aten.nonzero: "nonzero",
    aten.masked_select: "nonzero",
    aten._unique2: "nonzero",
}
"""Operations whose result, or the size of whose result, the processor has to know."""
INDEXING = (aten.index, aten.index_put, aten.index_put_)
"""They take indices from the processor; how many rows a mask chooses is counted there, and waited for."""
CROSSING = (aten.copy_, aten._to_copy)


class Elsewhere(torch.Tensor):
    """A tensor whose values, `held`, are on the CPU, and which says that it is on `meta`."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor):
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), dtype=held.dtype, device=META
        )
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    def __deepcopy__(self, memo):
        copied = Elsewhere(self.held.detach().clone())
        return torch.nn.Parameter(copied, self.requires_grad) if getattr(self, "_is_param", False) else copied

    def tolist(self):
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise AssertionError(f"{func} outside of the device's `running`")


class Device(TorchDispatchMode):
    """Runs what happens there, and counts in `waits` what a processor would wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        leaves = tree_flatten((args, kwargs))[0]
        there = [one for one in leaves if isinstance(one, Elsewhere)]
        goes_there = kwargs.get("device") == META
        if not there and not goes_there:
            return func(*args, **kwargs)
        name = func.overloadpacket
        if name not in (*INDEXING, *CROSSING):
            for one in leaves:
                if isinstance(one, torch.Tensor) and not isinstance(one, Elsewhere) and one.dim():
                    raise RuntimeError(f"{func}: a tensor {tuple(one.shape)} is on the CPU, others are not")
        to_host = "device" in kwargs and kwargs["device"] is not None and not goes_there
        if name is aten.copy_ and not isinstance(args[0], Elsewhere):
            to_host = True
        self._count(name, args, to_host)
        if name in CROSSING and not there and not kwargs.get("non_blocking", False):
            self.waits["to device"] += (
                1  # torch lets the processor wait for such a copy, and for all before it
            )
        if goes_there:
            kwargs["device"] = CPU
        found = func(*tree_map(_held, args), **tree_map(_held, kwargs))
        if to_host or name in (aten._local_scalar_dense, aten.equal):
            return args[0] if name is aten.copy_ else found
        known = {id(one.held): one for one in there}
        return tree_map(lambda one: known.get(id(one), _wrapped(one)), found)

    def _count(self, name, args, to_host: bool) -> None:
        if name in WAITS:
            self.waits[WAITS[name]] += 1
        elif name in INDEXING:
            masks = [one for one in args[1] if isinstance(one, Elsewhere) and one.dtype == torch.bool]
            self.waits["nonzero"] += bool(masks)
        elif to_host:
            self.waits["to host"] += 1


def _held(one):
    return one.held if isinstance(one, Elsewhere) else one


def _wrapped(one):
    return Elsewhere(one) if isinstance(one, torch.Tensor) else one


def held(found):
    """What was computed, with its values on the CPU, whichever device it is on."""
    return tree_map(_held, found)


class Autocast(torch.autocast):
    """As on the CPU, where `meta` is asked for, which has none."""

    def __init__(self, kind: str, *arguments, **options) -> None:
        super().__init__("cpu" if kind == "meta" else kind, *arguments, **options)


class Generator(torch.Generator):
    """The CPU's random numbers, where those of `meta` are asked for, which has none."""

    def __new__(cls, device=CPU):
        made = super().__new__(cls, CPU if device == META else device)
        made.place = device
        return made

    @property
    def device(self) -> torch.device:
        return self.place


@contextmanager
def running(monkeypatch):
    """The device, while the block runs."""
    with monkeypatch.context() as patch:
        patch.setattr(torch, "autocast", Autocast)
        patch.setattr(torch, "Generator", Generator)
        with Device() as device:
            yield device
