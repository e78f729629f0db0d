"""Collect the numbers of a table from result files: one CSV row a cell, accuracies and drops in percent."""

import json
from pathlib import Path

from featpoison import store
from featpoison.programs import program
from featpoison.programs.output import write
from featpoison.results.cells import Request, cells_of, published_drops, to_csv


def main() -> None:
    """Result files, clean heads, target, published numbers -> CSV."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--number", required=True, help="the paper's table, as table1")
    parser.add_argument("--clean", type=Path, nargs="?", help="clean heads; none where no cell needs them")
    parser.add_argument("--target", type=Path, nargs="?", help="target head of the attacks; likewise")
    parser.add_argument("--published", type=Path, required=True, help="CSV of the paper's numbers")
    parser.add_argument("--cells", required=True, help="JSON list of [method, beta, eps_d, result file]")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    requests = [Request(*cell) for cell in json.loads(args.cells)]
    published = published_drops(args.published, int(args.number.removeprefix("table")))
    tau = store.read_attributes(args.target)["tau"] if args.target else None
    cells = [
        cell for request in requests for cell in cells_of(request, args.clean, tau, published.get((request.method, request.beta, request.eps_d)))
    ]
    shared = [path for path in (args.clean, args.target) if path]
    inputs = [*shared, args.published, *(Path(request.source) for request in requests)]
    record = program.record(args, inputs, {"table": args.number})
    write([args.output], record, lambda path: path.write_text(to_csv(cells)) and None)


if __name__ == "__main__":
    main()
