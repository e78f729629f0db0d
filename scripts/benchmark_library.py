"""Benchmark the library against plain baselines in the same run: ratios, operations a second, share of the
measured peak, as CSV."""

import csv
from dataclasses import asdict
from pathlib import Path

from featpoison.common.files import replacing
from featpoison.costs import benchmarks
from featpoison.costs.timing import measure_peak
from featpoison.programs import program


def main() -> None:
    """Nothing -> CSV, and a short table on standard output."""
    parser = program.parser(__doc__)
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    peak = measure_peak(args.device)
    peaks = ", ".join(
        f"{value / 1e9:.0f} GFLOP/s {str(dtype).removeprefix('torch.')}"
        for dtype, value in peak.flops.items()
    )
    print(
        f"{program.device_kind(args.device)}, {args.threads} thread(s): {peaks}, {peak.bytes / 1e9:.1f} GB/s"
    )
    results = [benchmark(args.device, peak) for benchmark in benchmarks.ALL]
    print(
        f"{'benchmark':18}{'ours s':>11}{'baseline s':>12}{'ratio':>8}"
        f"{'GFLOP/s':>9}{'GB/s':>8}{'of limit':>10}{'differ by':>11}"
    )
    for result in results:
        row = f"{result.name:18}{result.seconds:11.3g}{result.baseline_seconds:12.3g}{result.ratio:8.1f}"
        row += f"{result.gflops:9.1f}{result.gbytes:8.2f}"
        print(f"{row}{100 * result.share_of_peak:8.0f} %{result.agreement:11.1e}")
    with replacing(args.output) as temporary, open(temporary, "w", newline="") as file:
        rows = [
            asdict(result)
            | {"ratio": result.ratio, "device": program.device_kind(args.device), "threads": args.threads}
            for result in results
        ]
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
