"""Operations of what runs, counted by torch's formulas for matrix products, convolutions and attention."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class Counted(TorchDispatchMode):
    """Counts in `operations`, multiplications and additions, while it is entered.

    It counts what torch's FlopCounterMode counts. That one imports torch's compiler, which takes longer than
    the counting, and its hooks on modules allow no gradient of a leaf.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # skipping is done by the compiler

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation, or those that it consists of, and count it."""
        given = kwargs or {}
        count = flop_registry.get(func.overloadpacket)
        if count is None and func is not torch.ops.prim.device.default:
            with self:
                parts = func.decompose(*args, **given)
            if parts is not NotImplemented:
                return parts
        found = func(*args, **given)
        if count is not None:
            self.operations += count(*args, **given, out_val=found)
        return found
