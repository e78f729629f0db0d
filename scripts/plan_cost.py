"""What a run would cost before it starts: jobs, floating-point operations, GPU hours and disk of everything
that the targets need."""

import argparse
import subprocess
import sys
from functools import cache
from pathlib import Path

from featpoison.attacks.operations import DOUBLE_PEAK, EFFICIENCY, PEAK, Work
from featpoison.config import load
from featpoison.costs import plan
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
    print(f"{'rule':40}{'jobs':>7}{'PFLOP':>12}{'float64 PFLOP':>15}{'GPU hours':>11}{'GB':>9}")
    total = Work()
    for rule, (count, work) in [
        *table.items(),
        ("total", (len(jobs), sum((work for _, work in table.values()), total))),
    ]:
        hours = work.hours(args.peak, args.double_peak, args.efficiency)
        print(
            f"{rule:40}{count:7}{work.flops / 1e15:12.3g}{work.double_flops / 1e15:15.3g}"
            f"{hours:11.3g}{work.bytes / 1e9:9.3g}"
        )
    peaks = f"{args.peak / 1e12:g} TFLOP/s ({args.double_peak / 1e12:g} in float64)"
    print(f"GPU hours at {args.efficiency:.0%} of {peaks}; iterative stages count their most steps.")


def dry_run(args: argparse.Namespace) -> str:
    """The text of Snakemake's plan. SystemExit with its message where there is none."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        *args.targets,
        "--configfile",
        str(args.configfile.resolve()),
        "--dry-run",
        "--nolock",
    ]
    command += [] if args.remaining else ["--forceall"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout + done.stderr


if __name__ == "__main__":
    main()
