"""What a run would cost before it starts: jobs, floating-point operations, hours and disk of everything that
the targets need. Hours are a GPU's, or a CPU core's where the configuration says `gpu: false`."""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from featpoison.attacks.operations import DOUBLE_PEAK, EFFICIENCY, PEAK, Work
from featpoison.config import load
from featpoison.costs import plan, rates
from featpoison.programs import program
from featpoison.records.provenance import ROOT


def main() -> None:
    """Targets -> a table, a line a rule, on the standard output."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument(
        "targets", nargs="*", help="files of the workflow; none: all that the configuration declares"
    )
    parser.add_argument("--configfile", type=Path, default=ROOT / "workflow/config/paper.yaml")
    parser.add_argument("--remaining", action="store_true", help="only what is not made yet")
    parser.add_argument(
        "--peak",
        type=float,
        default=PEAK,
        help="operations a second of one GPU in the encoder's precision (default: H100 and H200, dense bf16)",
    )
    parser.add_argument(
        "--double-peak", type=float, default=DOUBLE_PEAK, help="the same in float64 (default: H100 and H200)"
    )
    parser.add_argument(
        "--efficiency",
        type=float,
        default=EFFICIENCY,
        help="share of the peak that is reached (default %(default)s)",
    )
    args = program.start(parser)
    config = load(args.configfile)
    jobs = plan.planned_jobs(dry_run(args))
    table = plan.by_rule(
        jobs, config, cache(lambda dataset, encoder: plan.sizes_of(config, dataset, encoder))
    )
    print_table(table, gpu_hours(args) if config.gpu else core_hours())


@dataclass(frozen=True)
class Price:
    """What a rule's jobs take of the machine that the configuration is for."""

    unit: str
    """Heading of the column."""
    hours: Callable[[str, int, Work], float]
    """Hours, by rule, jobs and their work in all."""
    assumed: str
    """What the hours assume, a sentence."""


def gpu_hours(args: argparse.Namespace) -> Price:
    """Hours of one GPU at a share of its peak."""
    peaks = f"{args.peak / 1e12:g} TFLOP/s ({args.double_peak / 1e12:g} in float64)"
    return Price(
        "GPU hours",
        lambda rule, jobs, work: work.hours(args.peak, args.double_peak, args.efficiency),
        f"GPU hours at {args.efficiency:.0%} of {peaks}; iterative stages count their most steps.",
    )


def core_hours() -> Price:
    """Hours of one CPU core, by measured rates."""
    warm = os.environ.get("FEATPOISON_WARM") == "1"
    start = rates.WARM_START if warm else rates.COLD_START
    jobs = "forks of a warm interpreter (FEATPOISON_WARM=1)" if warm else "programs of their own"
    return Price(
        "core hours",
        partial(rates.core_hours, start=start),
        f"Core hours by rates measured in the demo (scripts/featpoison/costs/rates.py); jobs are {jobs}, "
        f"which start in {start:g} s.",
    )


def print_table(table: dict[str, tuple[int, Work]], price: Price) -> None:
    """A line for each rule, one for all, and what the hours assume."""
    print(f"{'rule':40}{'jobs':>7}{'PFLOP':>12}{'float64 PFLOP':>15}{price.unit:>12}{'GB':>9}")
    rows = [(rule, jobs, work, price.hours(rule, jobs, work)) for rule, (jobs, work) in table.items()]
    columns = list(zip(*rows, strict=True))[1:] if rows else [(), (), ()]
    jobs, work, hours = (sum(columns[0]), sum(columns[1], Work()), sum(columns[2]))
    for name, count, one, taken in [*rows, ("total", jobs, work, hours)]:
        print(
            f"{name:40}{count:7}{one.flops / 1e15:12.3g}{one.double_flops / 1e15:15.3g}"
            f"{taken:12.3g}{one.bytes / 1e9:9.3g}"
        )
    print(price.assumed)


def dry_run(args: argparse.Namespace) -> str:
    """The text of Snakemake's plan. SystemExit with Snakemake's message, which names a target that no rule
    makes, where there is none."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        *args.targets,
        "--configfile",
        str(args.configfile.resolve()),
        "--dry-run",
        "--nolock",
        "--config",
        "replace=True",  # a plan alone replaces nothing
    ]
    command += [] if args.remaining else ["--forceall"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stdout + done.stderr).split("Building DAG of jobs...")[-1].strip()
        raise SystemExit(f"no plan for {', '.join(args.targets) or 'the configuration'}: {reason}")
    return done.stdout + done.stderr


if __name__ == "__main__":
    main()
