"""Rows a few at a time, where working on all of them at once would fill memory with intermediate results."""

from collections.abc import Iterator

from torch import Tensor

ROWS = 2048
"""Rows of a block on a CPU: 8 MB of 512 numbers in float64."""


def row_blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Views of the same rows of each tensor (n, ...), block by block. Not on a CPU, all rows are one block:
    there the number of calls counts."""
    count = ROWS if tensors[0].device.type == "cpu" else max(1, len(tensors[0]))
    return zip(*(one.split(count) for one in tensors), strict=True)
