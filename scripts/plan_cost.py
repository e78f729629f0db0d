"""What a run would cost before it starts: jobs, hours and disk of everything that the targets need, with the
steps that take the most hours. Hours are a GPU's, or, where the configuration says `gpu: false`, those of a
core of this machine, whose speed is measured in some seconds."""

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
from featpoison.costs.speed import speed
from featpoison.costs.summary import Step, summary
from featpoison.programs import program
from featpoison.records.provenance import ROOT


def main() -> None:
    """Targets -> some lines on the standard output, or with --steps a table, a line a rule."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument(
        "targets", nargs="*", help="files of the workflow; none: all that the configuration declares"
    )
    parser.add_argument(
        "--configfile",
        type=Path,
        nargs="+",
        default=[ROOT / "workflow/config/paper.yaml"],
        metavar="FILE",
        help="one, or several that lie over one another, as Snakemake takes them; `--` ends them",
    )
    parser.add_argument("--steps", action="store_true", help="a line for each step")
    parser.add_argument(
        "--speed",
        type=float,
        help="how many times as fast as a core of the demo's machine one is (default: measured here)",
    )
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
    config = load(*args.configfile)
    jobs = plan.planned_jobs(dry_run(args))
    table = plan.by_rule(
        jobs, config, cache(lambda dataset, encoder: plan.sizes_of(config, dataset, encoder))
    )
    price = gpu_hours(args) if config.gpu else core_hours(args.speed or speed())
    steps = [Step(name, count, work, price.hours(name, count, work)) for name, (count, work) in table.items()]
    if args.steps:
        print_table(steps, price)
    else:
        print("\n".join(summary(steps, price.unit)))
        print(f"  {sum((step.work.bytes for step in steps), 0.0) / 1e9:.3g} GB on disk; every step: --steps")
    print(price.assumed)


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


def core_hours(faster: float) -> Price:
    """Hours of one CPU core that is so many times as fast as the one whose rates were measured."""
    warm = os.environ.get("FEATPOISON_WARM") == "1"
    start = rates.WARM_START if warm else rates.COLD_START
    jobs = "forks of a warm interpreter (FEATPOISON_WARM=1)" if warm else "programs of their own"
    return Price(
        "core hours",
        partial(rates.core_hours, start=start, speed=faster),
        f"Core hours of a core {faster:.2g} times as fast as the demo's, whose rates were measured "
        f"(scripts/featpoison/costs/rates.py); jobs are {jobs}, which start there in {start:g} s.",
    )


def print_table(steps: list[Step], price: Price) -> None:
    """A line for each rule, and one for all."""
    print(f"{'rule':40}{'jobs':>7}{'PFLOP':>12}{'float64 PFLOP':>15}{price.unit:>12}{'GB':>9}")
    work = sum((step.work for step in steps), Work())
    total = Step("total", sum(step.jobs for step in steps), work, sum(step.hours for step in steps))
    for step in [*steps, total]:
        one = step.work
        print(
            f"{step.name:40}{step.jobs:7}{one.flops / 1e15:12.3g}{one.double_flops / 1e15:15.3g}"
            f"{step.hours:12.3g}{one.bytes / 1e9:9.3g}"
        )


def dry_run(args: argparse.Namespace) -> str:
    """The text of Snakemake's plan. SystemExit with Snakemake's message, which names a target that no rule
    makes, where there is none."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        *args.targets,
        "--configfile",
        *(str(path.resolve()) for path in args.configfile),
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
