"""Collect the numbers of a table from result files: one CSV row a cell, accuracies and drops in percent.

Accuracies, drops and intervals come from the stored heads, tested once more on the features: intervals need
to know which image each head gets wrong.
"""

from pathlib import Path

from featpoison.papers.lu2024 import as_printed, drops_of_table
from featpoison.programs import program
from featpoison.programs.output import write_text
from featpoison.results.bootstrap import DRAWS, STREAM
from featpoison.results.cells import cells_of, to_csv
from featpoison.results.claims import key_of
from featpoison.results.samples import SampleError, Samples, read_files


def main() -> None:
    """Result files, feature caches, clean heads, published numbers -> CSV."""
    parser = program.parser(__doc__)
    parser.set_defaults(device="cpu")  # the heads' predictions are no work for a GPU
    parser.add_argument("--number", required=True, help="name of the table, as table1")
    parser.add_argument(
        "--published",
        type=Path,
        nargs="*",
        default=[],
        help="CSV of the paper's numbers",
    )
    text = "JSON: scenarios with features and clean heads; results as rows with budget, result file and title"
    parser.add_argument("--results", required=True, help=text)
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    number = int(args.number.removeprefix("table"))
    published = {key: drop for path in args.published for key, drop in drops_of_table(path, number).items()}
    cells = []
    try:
        samples = Samples(read_files(args.results))
        inputs = [*samples.inputs, *args.published]
        settings = {"table": args.number, "draws": DRAWS, "stream": STREAM}
        record = program.record(args, inputs, settings)
        for request in samples.files.results:
            printed = published.get(as_printed(key_of(request.row, request.eps_d)))
            cells += cells_of(request, samples.scenario(request), printed)
    except SampleError as error:
        raise SystemExit(str(error)) from None
    write_text(args.output, record, to_csv(cells))


if __name__ == "__main__":
    main()
