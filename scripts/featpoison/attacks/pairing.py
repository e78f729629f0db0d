"""Pairing (paper, section 4.2.2): the base image of a poisoned feature is the clean image with the nearest
feature. Without that choice it is any clean image."""

from dataclasses import dataclass

import torch
from torch import Tensor

from featpoison.attacks.base_rows import choose_rows

CANDIDATES = 8  # of each block, ranked again in float64
PLACE = 10**9
"""The place of random base images among the streams of a poison seed: far from the streams of all small
seeds, which choose the rows that attacks start from."""


@dataclass(frozen=True)
class Pairs:
    """Base images of poisoned features: index into the clean rows (n,), squared distance (n,), float64."""

    index: Tensor
    distance: Tensor


def nearest_clean(zeta: Tensor, clean: Tensor, *, rows: int = 1024, block: int = 8192) -> Pairs:
    """For each row of `zeta` (n, d) the nearest row of `clean` (N, d), over all of it; ties go to the lowest
    index.

    Matrix products of blocks find candidates, float64 decides among them: expanding ||z - x||^2 loses digits
    in float32, the fewer the closer to the origin, so both are centred first. Memory is rows * block floats,
    whatever n and N.
    """
    centre = clean.mean(0)
    parts = [_nearest(part, clean, centre, block) for part in zeta.split(rows)]
    return Pairs(
        index=torch.cat([part.index for part in parts]), distance=torch.cat([part.distance for part in parts])
    )


def nearest_of_class(zeta: Tensor, labels: Tensor, clean: Tensor, clean_labels: Tensor) -> Pairs:
    """`nearest_clean` among the clean rows of each poisoned feature's own label, so labels survive (this
    project; the paper searches all).

    `labels` (n,), `clean_labels` (N,). Raises ValueError for a label that no clean row has.
    """
    index = torch.zeros(len(zeta), dtype=torch.int64, device=zeta.device)
    distance = torch.zeros(len(zeta), dtype=torch.float64, device=zeta.device)
    for label in labels.unique().tolist():
        own, rows = (labels == label).nonzero().squeeze(1), (clean_labels == label).nonzero().squeeze(1)
        if not len(rows):
            raise ValueError(f"pairing: no clean row has label {label}")
        found = nearest_clean(zeta[own], clean[rows])
        index[own], distance[own] = rows[found.index], found.distance
    return Pairs(index=index, distance=distance)


def any_clean(zeta: Tensor, clean: Tensor, seed: int) -> Pairs:
    """A clean row by chance for each row of `zeta` (n, d), whatever its label (this project): beside it shows
    what the search for the nearest is worth.

    `seed` is the poison seed; the rows are drawn independently of those from which the attack on features
    started. Each row is drawn at most ceil(n / N) times.
    """
    index = choose_rows(len(clean), len(zeta), seed, PLACE).to(zeta.device)
    return Pairs(index=index, distance=(clean[index].double() - zeta.double()).square().sum(1))


def _nearest(zeta: Tensor, clean: Tensor, centre: Tensor, block: int) -> Pairs:
    index = torch.zeros(len(zeta), dtype=torch.int64, device=zeta.device)
    distance = torch.full((len(zeta),), torch.inf, dtype=torch.float64, device=zeta.device)
    for start in range(0, len(clean), block):
        part = clean[start : start + block]
        centred = part - centre
        # ||z - x||^2 - ||z - centre||^2
        approximate = centred.square().sum(1) - 2 * ((zeta - centre) @ centred.T)
        candidates = (
            approximate.topk(min(CANDIDATES, len(part)), dim=1, largest=False).indices.sort(dim=1).values
        )
        exact = (part[candidates].double() - zeta.double().unsqueeze(1)).square().sum(2)
        found, place = exact.min(1)
        better = found < distance  # strictly: an earlier block keeps a tie
        distance = torch.where(better, found, distance)
        index = torch.where(better, start + candidates.gather(1, place.unsqueeze(1)).squeeze(1), index)
    return Pairs(index=index, distance=distance)
