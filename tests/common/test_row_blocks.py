"""Blocks of rows: all rows once, in order, as views."""

import pytest
import torch
from featpoison.common.row_blocks import ROWS, row_blocks


@pytest.mark.parametrize("n", [0, 1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS])
def test_all_rows_come_once_and_in_order(n):
    first, second = torch.arange(n), torch.arange(2.0 * n).reshape(n, 2)
    blocks = list(row_blocks(first, second))
    assert torch.equal(torch.cat([one for one, _ in blocks]), first)
    assert torch.equal(torch.cat([two for _, two in blocks]), second)
    assert all(len(one) == len(two) <= ROWS for one, two in blocks)


def test_a_block_is_a_view():
    rows = torch.zeros(ROWS + 1, 2)
    for place, (block,) in enumerate(row_blocks(rows)):
        block.fill_(place + 1)
    assert rows[:ROWS].eq(1).all()
    assert rows[ROWS:].eq(2).all()


def test_not_on_a_cpu_all_rows_are_one_block():
    (block,) = row_blocks(torch.empty(3 * ROWS, device="meta"))
    assert len(block[0]) == 3 * ROWS
