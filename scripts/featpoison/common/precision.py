"""Which floating-point type a device is fast in."""

from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]


def resolve(precision: Precision, device: torch.device) -> torch.dtype:
    """The dtype to compute in; `auto` is bfloat16 on GPUs and on CPUs with bfloat16 instructions (elsewhere it is emulated, slowly)."""
    if precision == "auto":
        fast = device.type != "cpu" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return torch.bfloat16 if fast else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
