"""What tests share and is no fixture."""

from collections.abc import Callable
from pathlib import Path

import torch
from featpoison.records.checkpoints import Checkpoint
from featpoison.records.provenance import Record
from featpoison.softmax import Head

ROOT = Path(__file__).resolve().parent.parent
RECORD = {"program": "scripts/none.py", "code": "0", "inputs": {}, "settings": {}, "environment": {}}


def random_problem(
    n: int, d: int, classes: int, seed: int = 0, dtype: torch.dtype = torch.float64
) -> tuple[torch.Tensor, torch.Tensor, Head]:
    """Features, labels and a head."""
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(n, d, generator=generator, dtype=dtype)
    labels = torch.randint(classes, (n,), generator=generator)
    head = Head(
        weight=torch.randn(classes, d, generator=generator, dtype=dtype),
        bias=torch.randn(classes, generator=generator, dtype=dtype),
    )
    return X, labels, head


class Forgetful:
    """A checkpoint that keeps nothing."""

    def load(self):
        return None

    def due(self):
        return False

    def save(self, tensors, **facts):
        pass


class Killed(Exception):
    """The end of a process that a test kills."""


class Fragile(Checkpoint):
    """A checkpoint whose process dies after a save: after the first one whose facts `dies` says so of."""

    def __init__(self, path: Path, record: Record, dies: Callable[[dict], bool]) -> None:
        super().__init__(path, record)
        self.dies = dies

    def due(self):
        return True

    def save(self, tensors, **facts):
        super().save(tensors, **facts)
        if self.dies(facts):
            raise Killed
