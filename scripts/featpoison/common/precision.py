"""Choosing the floating-point type that a network computes in."""

from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]


def resolve(precision: Precision, device: torch.device) -> torch.dtype:
    """The floating-point type to compute in on `device`.

    `auto` is bfloat16 on GPUs and on CPUs with bfloat16 instructions, and float32 on other CPUs, which would
    have to emulate bfloat16 slowly. Raises KeyError for a name that is no Precision.
    """
    if precision == "auto":
        fast = (
            device.type != "cpu"
            or torch.cpu._is_avx512_bf16_supported()
            or torch.cpu._is_amx_tile_supported()
        )
        return torch.bfloat16 if fast else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]


def name_of(dtype: torch.dtype) -> str:
    """The name of a floating-point type as a product's file says it, such as `bfloat16`; never `auto`."""
    return str(dtype).removeprefix("torch.")
