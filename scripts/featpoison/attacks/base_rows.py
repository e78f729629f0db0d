"""Which clean rows poisons start from, where the attack leaves it to chance."""

import torch
from torch import Tensor

from featpoison.common.seeds import stream


def choose_initial(labels: Tensor, count: int, seed: int) -> Tensor:
    """Indices (count,) of the clean rows that poisons start from: a random choice, each row at most
    ceil(count / N) times."""
    return choose_rows(len(labels), count, seed)


def choose_rows(rows: int, count: int, seed: int, *place: int) -> Tensor:
    """A random choice of `count` of so many rows, each at most ceil(count / rows) times, from the stream of
    `seed` at `place` (`common/seeds.py`)."""
    generator = stream(seed, *place, device=torch.device("cpu"))
    rounds = [torch.randperm(rows, generator=generator) for _ in range(-(-count // rows))]
    return torch.cat(rounds)[:count]


def poison_count(budget: float, clean: int) -> int:
    """round(eps_d N); ValueError where that is less than one."""
    count = round(budget * clean)
    if count < 1:
        raise ValueError(f"eps_d = {budget:g} of {clean} training rows is less than one poison")
    return count
