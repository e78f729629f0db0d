"""What the programs of `scripts/` share: arguments, logging, threads, device, provenance."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pydantic

from featpoison import store
from featpoison.common.settings import Settings
from featpoison.programs import errors
from featpoison.records import provenance

if TYPE_CHECKING:  # torch takes seconds to import, and tables, figures and the audit do without it
    import torch

S = TypeVar("S", bound=Settings)


def parser(description: str | None, *, compute: bool = True) -> argparse.ArgumentParser:
    """A parser with the options that every program has; those of arithmetic only where the program computes
    with torch."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if compute:
        result.add_argument(
            "--threads",
            type=int,
            default=1,
            help="threads for arithmetic (default 1; the last bit may depend on it)",
        )
        result.add_argument(
            "--device", default="auto", help="auto (a GPU where there is one), cpu, cuda, ..."
        )
    return result


def start(arguments: argparse.ArgumentParser, made: tuple[str, ...] = ()) -> argparse.Namespace:
    """Parse, check that every named input exists (all paths but `output` and those in `made`), set up
    logging, threads, determinism."""
    errors.in_one_line()
    args = arguments.parse_args()
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S"
    )
    for name, value in vars(args).items():
        for path in value if isinstance(value, list) else [value]:
            if isinstance(path, Path) and name not in ("output", *made) and not path.exists():
                arguments.error(f"--{name.replace('_', '-')}: {path} does not exist")
    if "device" in args:
        import torch

        if args.threads < 1:
            arguments.error(f"--threads: {args.threads}, expected at least 1")
        torch.set_num_threads(args.threads)
        try:
            args.device = device(args.device)
        except ValueError as error:
            arguments.error(f"--device: {error}")
        # On a CPU nothing here depends on it, and the call imports torch's compiler, five seconds.
        if args.device.type != "cpu":
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
            # Filling new tensors, before they are written, finds errors and costs memory bandwidth.
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
            torch.backends.cudnn.allow_tf32 = False  # float32 means float32
    # Imports live until exit: not sorting through them again there saves a short job half a second.
    gc.freeze()
    return args


def device(name: str) -> torch.device:
    """The torch device for `name`; `auto` is a GPU where there is one.

    Raises ValueError for a name that is no device, or that of one which is not here.
    """
    import torch

    if name != "auto":
        try:
            found = torch.device(name)
            torch.empty(0, device=found)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            reason = str(error).splitlines()[0]
            text = f"{name!r}, expected auto, cpu, cuda or another device of this machine"
            raise ValueError(f"{text}: {reason}") from None
        return found
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator or torch.get_default_device()


def settings(model: type[S], text: str) -> S:
    """Validated settings from JSON; exits with key, value and expectation when they do not fit."""
    try:
        return model.model_validate_json(text)
    except pydantic.ValidationError as error:
        lines = [
            f"{'.'.join(map(str, one['loc'])) or 'all'}: {one['msg']} (found {str(one['input'])[:80]})"
            for one in error.errors()
        ]
        raise SystemExit(f"settings do not fit {model.__name__}: {'; '.join(lines)}") from None


def record(
    args: argparse.Namespace, inputs: Iterable[Path], values: dict[str, Any], chosen: Iterable[Path] = ()
) -> provenance.Record:
    """The provenance record of the running program's product; `chosen` are modules that it imports by name.

    All bytes of the inputs are held against their seals first: nothing is made from a product that was
    edited. Raises StoreError naming the file and what differs.
    """
    inputs = sorted(set(inputs))
    for path in inputs:
        if path.suffix == ".h5":
            store.check(path)
    kind = device_kind(args.device) if "device" in args else "cpu"
    return provenance.record(Path(sys.argv[0]), inputs, values, kind, chosen)


def device_kind(value: torch.device) -> str:
    """The kind of processor: a GPU's model name, or cpu with its widest instruction set."""
    import torch

    if value.type == "cuda":
        return torch.cuda.get_device_name(value)
    return f"{value.type} {torch.backends.cpu.get_cpu_capability()}"
