"""Collect the numbers of a table from result files: one CSV row a cell, accuracies and drops in percent."""

import json
from pathlib import Path

from featpoison import store
from featpoison.papers.lu2024 import as_printed, drops_of_table
from featpoison.programs import program
from featpoison.programs.output import write_text
from featpoison.results.cells import cells_of, to_csv
from featpoison.results.claims import key_of
from featpoison.results.rows import read_request


def main() -> None:
    """Result files, clean heads, published numbers -> CSV."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--number", required=True, help="the paper's table, as table1")
    parser.add_argument("--clean", type=Path, nargs="?", help="clean heads; none where no cell needs them")
    parser.add_argument("--published", type=Path, required=True, help="CSV of the paper's numbers")
    parser.add_argument("--cells", required=True, help="JSON list of rows with budget, result file, title")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    requests = [read_request(cell) for cell in json.loads(args.cells)]
    published = drops_of_table(args.published, int(args.number.removeprefix("table")))
    cells = []
    for request in requests:
        printed = published.get(as_printed(key_of(request.row, request.eps_d)))
        tau = store.read_attributes(Path(request.source)).get("tau")
        cells += cells_of(request, args.clean, tau, printed)
    inputs = [
        *([args.clean] if args.clean else []),
        args.published,
        *(Path(request.source) for request in requests),
    ]
    write_text(args.output, program.record(args, inputs, {"table": args.number}), to_csv(cells))


if __name__ == "__main__":
    main()
