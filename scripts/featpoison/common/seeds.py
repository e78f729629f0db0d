"""Random streams by position in the work, instead of one global random state.

Work that is resumed after a cut, or split over jobs, so draws the same numbers as work that runs through.
"""

import torch


def stream(seed: int, *position: int, device: torch.device | None = None) -> torch.Generator:
    """The random generator of one place in the work that `seed` belongs to, such as an epoch.

    `position`: integers that name the place, such as (0, 3). Places of the same length have different
    streams; two places of different lengths may have the same one. `device`: where the generator draws;
    without it torch's default device.
    """
    mixed = seed
    for part in position:
        mixed = (mixed * 1_000_003 + part + 1) % 2**63
    return torch.Generator(device or torch.get_default_device()).manual_seed(mixed)
