"""What tests share and is no fixture."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from featpoison.records.checkpoints import Checkpoint
from featpoison.records.provenance import Record
from featpoison.softmax import Head

ROOT = Path(__file__).resolve().parent.parent
SNAKEMAKE = str(Path(sys.executable).parent / "snakemake")
RECORD = {"program": "scripts/none.py", "code": "0", "inputs": {}, "settings": {}, "environment": {}}


THREADS = ("GOTO", "OMP", "OPENBLAS", "MKL", "NUMEXPR")
"""Libraries that Snakemake tells the number of a job's threads."""


def environment(**changes: str) -> dict[str, str]:
    """Variables for a process that a test starts, the same ones for all tests and for the jobs of Snakemake:
    each kind of environment would need a warm interpreter of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    threads = {f"{library}_NUM_THREADS": "1" for library in THREADS}
    return kept | threads | {"PATH": path, "FEATPOISON_WARM": "1"} | changes


def ran(*arguments: str | Path, folder: Path = ROOT, **changes: str) -> subprocess.CompletedProcess:
    """What `python PROGRAM ARGUMENTS` does in `folder`, in a fork of a warm interpreter: it saves the seconds
    that Snakemake and this project's programs take to import torch."""
    warm = ("-I", "-S", str(folder / "scripts/warm_python.py"))
    command = [sys.executable, *warm, *map(str, arguments)]
    variables = environment(**changes)
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


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
