"""Random streams by position: no global random state, and work that is resumed or split draws what undisturbed work draws."""

import torch


def stream(seed: int, *position: int, device: torch.device | None = None) -> torch.Generator:
    """The generator of one place (say, an epoch) in the work that `seed` belongs to.

    Distinct places of one length get distinct streams; places of different lengths may meet.
    """
    mixed = seed
    for part in position:
        mixed = (mixed * 1_000_003 + part + 1) % 2**63
    return torch.Generator(device or torch.get_default_device()).manual_seed(mixed)
