"""What benchmarks share: timing, the machine's peaks, and what a benchmark reports."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor


@dataclass(frozen=True)
class Peak:
    """What the device reaches at most in this process: large matrix products and memory traffic."""

    flops: dict[torch.dtype, float]
    """Floating-point operations a second, by type."""
    bytes: float
    """Bytes a second read and written by a large copy."""


@dataclass(frozen=True)
class Result:
    """One benchmark: seconds of ours and of the baseline for the same work, and ours as a share of the peak
    that binds."""

    name: str
    ours: str
    baseline: str
    seconds: float
    baseline_seconds: float
    gflops: float
    """Achieved 1e9 operations a second, counted from the formula."""
    gbytes: float
    """Achieved 1e9 bytes a second of what has to be moved at least: operands read once, results written
    once."""
    share_of_peak: float
    agreement: float
    """How far the two results differ: relative to the baseline's largest entry, for victims the difference of
    the objectives, for GC-feature by how much of the baseline's L the two values of L differ, for matching
    to the end likewise of F."""

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.baseline_seconds / self.seconds


def best_time(work: Callable[[], object], repeats: int = 15) -> float:
    """Seconds of the fastest of `repeats` runs after one warm-up: the least disturbed one."""
    return min([elapsed(work) for _ in range(repeats + 1)][1:])


def elapsed(work: Callable[[], object]) -> float:
    """Seconds of one run."""
    start = time.perf_counter()
    work()
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return time.perf_counter() - start


def measure_peak(device: torch.device, side: int = 1536) -> Peak:
    """The peak of the device with the threads that torch has now."""
    flops = {}
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        a = torch.randn(side, side, device=device).to(dtype)
        flops[dtype] = 2 * side**3 / best_time(partial(torch.mm, a, a))
    b = torch.empty(32 << 20, device=device)  # 128 MiB, beyond any cache
    return Peak(flops=flops, bytes=2 * b.nbytes / best_time(b.clone))


def share(flops: float, moved: float, dtype: torch.dtype, seconds: float, peak: Peak) -> float:
    """Time that the binding limit alone would take, over the time taken; `moved` is 0 where the operands stay
    in the cache, which the peak of memory traffic does not limit."""
    return max(flops / peak.flops[dtype], moved / peak.bytes) / seconds


def difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference, relative to the largest entry of `theirs`."""
    return ((ours.double() - theirs.double()).abs().max() / theirs.abs().max()).item()
