"""Collect the numbers of the transfer matrix: one CSV row for each attack, pair of encoders and victim."""

from pathlib import Path

from featpoison.programs import program
from featpoison.programs.output import write_text
from featpoison.results.bootstrap import DRAWS, STREAM
from featpoison.results.samples import SampleError
from featpoison.results.transfer import cells_of_results, read_results
from featpoison.results.transfer_cells import to_csv


def main() -> None:
    """Result files, feature caches, clean heads -> CSV."""
    parser = program.parser(__doc__)
    parser.set_defaults(device="cpu")  # the heads' predictions are no work for a GPU
    text = "JSON: features and clean heads by encoder; results, and the encoder that each was made against"
    parser.add_argument("--results", required=True, help=text)
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    try:
        results, samples = read_results(args.results)
        record = program.record(args, samples.inputs, {"draws": DRAWS, "stream": STREAM})
        cells = cells_of_results(results, samples)
    except SampleError as error:
        raise SystemExit(str(error)) from None
    write_text(args.output, record, to_csv(cells))


if __name__ == "__main__":
    main()
