"""How rows are spread over jobs: in blocks with fixed borders, so that what is computed for a row does not depend on the number of jobs."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of a product, `index` from 0. By default the whole."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, name: str) -> Self:
        """The shard of a name like 2-of-7. Raises ArgumentTypeError, which parsers of arguments show."""
        number, _, count = name.partition("-of-")
        if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            raise argparse.ArgumentTypeError(f"{name!r}, expected one of 1-of-n to n-of-n")
        return cls(int(number) - 1, int(count))

    def __str__(self) -> str:
        """The name, as paths show it."""
        return f"{self.index + 1}-of-{self.count}"

    def blocks(self, rows: int, batch_size: int) -> Iterator[slice]:
        """The shard's blocks of `rows`, in order: blocks are the same for any number of shards."""
        starts = range(0, rows, batch_size)
        for start in starts[self.index * len(starts) // self.count : (self.index + 1) * len(starts) // self.count]:
            yield slice(start, min(start + batch_size, rows))

    def rows(self, rows: int, batch_size: int) -> slice:
        """All rows of its blocks; none where there are more shards than blocks."""
        blocks = list(self.blocks(rows, batch_size))
        return slice(blocks[0].start, blocks[-1].stop) if blocks else slice(0, 0)
