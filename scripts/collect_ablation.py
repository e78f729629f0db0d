"""Collect the numbers of the stage ablation: one CSV row for each row of a pipeline and victim, with the
paired difference to the full pipeline."""

from pathlib import Path

from featpoison.programs import program
from featpoison.programs.output import write_text
from featpoison.results.ablation import cells_of_rows, read_rows
from featpoison.results.ablation_cells import to_csv
from featpoison.results.bootstrap import DRAWS, STREAM
from featpoison.results.samples import SampleError


def main() -> None:
    """Result files, feature cache, clean heads -> CSV."""
    parser = program.parser(__doc__)
    parser.set_defaults(device="cpu")  # the heads' predictions are no work for a GPU
    text = "JSON: the scenario's features and clean heads; rows with pipeline, stage and result file"
    parser.add_argument("--rows", required=True, help=text)
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    try:
        rows, samples = read_rows(args.rows)
        record = program.record(args, samples.inputs, {"draws": DRAWS, "stream": STREAM})
        cells = cells_of_rows(rows, samples)
    except SampleError as error:
        raise SystemExit(str(error)) from None
    write_text(args.output, record, to_csv(cells))


if __name__ == "__main__":
    main()
