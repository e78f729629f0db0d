"""What tests share and is no fixture."""

from pathlib import Path

import torch
from featpoison.softmax import Head

ROOT = Path(__file__).resolve().parent.parent
RECORD = {"program": "scripts/none.py", "code": "0", "inputs": {}, "settings": {}, "environment": {}}


def random_problem(n: int, d: int, classes: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor, Head]:
    """Features, labels and a head."""
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(n, d, generator=generator, dtype=dtype)
    labels = torch.randint(classes, (n,), generator=generator)
    head = Head(weight=torch.randn(classes, d, generator=generator, dtype=dtype), bias=torch.randn(classes, generator=generator, dtype=dtype))
    return X, labels, head
