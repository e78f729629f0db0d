"""How rows are spread over jobs: in blocks with fixed borders.

What is computed for a row may depend on the rows beside it in its block, but so never on the number of jobs.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of a product; `index` counts from 0. The default is the whole product."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, name: str) -> Self:
        """The shard with a name like 2-of-7, for a parser of arguments.

        Raises argparse.ArgumentTypeError for another name, which the parser shows to the user.
        """
        number, _, count = name.partition("-of-")
        if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            raise argparse.ArgumentTypeError(f"{name!r}, expected one of 1-of-n to n-of-n")
        return cls(int(number) - 1, int(count))

    def __str__(self) -> str:
        """The name, such as 2-of-7, as it is part of paths."""
        return f"{self.index + 1}-of-{self.count}"

    def blocks(self, rows: int, batch_size: int) -> Iterator[slice]:
        """The blocks of this shard, in order, where `rows` rows are cut into blocks of `batch_size`.

        The borders of the blocks do not depend on the number of shards. The last block may be smaller.
        """
        starts = range(0, rows, batch_size)
        for start in starts[
            self.index * len(starts) // self.count : (self.index + 1) * len(starts) // self.count
        ]:
            yield slice(start, min(start + batch_size, rows))

    def rows(self, rows: int, batch_size: int) -> slice:
        """All rows of this shard's blocks, as one slice, empty where there are more shards than blocks."""
        blocks = list(self.blocks(rows, batch_size))
        return slice(blocks[0].start, blocks[-1].stop) if blocks else slice(0, 0)
