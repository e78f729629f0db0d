"""What planned work takes on CPUs, in core hours, from rates that were measured.

A rate is a rule's planned operations over the CPU seconds of its jobs. Iterative stages count their most
steps, and the converged victim a round number of products, so that a rate may lie above what a core can do:
it says what a plan is worth, not how fast the code is. Rates are those of the demo's sizes (5,000 rows, 128
features, a thin encoder); larger encoders and more features do more operations a second.
"""

from dataclasses import dataclass

from featpoison.attacks.operations import Work

WARM_START, COLD_START = 0.14, 2.5
"""CPU seconds in which a job starts: as a fork of an interpreter that has imported the libraries
(FEATPOISON_WARM=1), and as a program of its own (2 to 3)."""


@dataclass(frozen=True)
class Rate:
    """What one core does for jobs of one kind."""

    flops: float
    """Planned operations a second, of either precision; infinite where a job's work is not planned."""
    seconds: float
    """CPU seconds of a job besides, without its start."""
    source: str
    """Where the two numbers come from."""


INFINITE = float("inf")
DEMO = "all of these jobs in the demo, one core of a Xeon with AVX-512 and AMX (Sapphire Rapids)"
"""The CPU times in `benchmarks/` after `make demo` with one core, less their starts. Other work ran beside it
on the machine, so that a machine of one's own is faster."""
PASSES = Rate(90e9, 0.1, f"feature matching: {DEMO}")
"""Of passes through an encoder, where a rule has no rate of its own."""
RATES: dict[str, Rate] = {}
"""By rule, or by rule and attack."""


def rate_of(name: str) -> Rate:
    """The rate of a rule, or of a rule and attack as `plan.by_rule` names them: its own, else its rule's,
    else that of passes through an encoder."""
    return RATES.get(name) or RATES.get(name.split(" ", maxsplit=1)[0]) or PASSES


def core_hours(name: str, jobs: int, work: Work, *, start: float) -> float:
    """Core hours of `jobs` jobs of one kind, with this work in all; each starts in `start` seconds."""
    rate = rate_of(name)
    return (jobs * (start + rate.seconds) + (work.flops + work.double_flops) / rate.flops) / 3600
