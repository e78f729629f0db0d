"""Collect the numbers of the table of defences: one CSV row for each attack, budget, defence and victim."""

from pathlib import Path

import pydantic
from featpoison.programs import program
from featpoison.programs.output import write_text
from featpoison.results.bootstrap import DRAWS, STREAM
from featpoison.results.csv_text import to_csv
from featpoison.results.defence_cells import DefenceCell, DefenceRow, cells_of
from featpoison.results.samples import SampleError, Scenario, ScenarioFiles


def main() -> None:
    """Feature cache, clean heads, results with and without defences -> CSV."""
    parser = program.parser(__doc__)
    parser.set_defaults(device="cpu")  # the heads' predictions are no work for a GPU
    parser.add_argument("--features", type=Path, required=True, help="feature cache")
    parser.add_argument("--clean", type=Path, required=True, help="clean heads")
    parser.add_argument("--rows", nargs="+", required=True, help="JSON of each row, with its result files")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    try:
        rows = [DefenceRow.model_validate_json(row) for row in args.rows]
    except pydantic.ValidationError as error:
        raise SystemExit(f"--rows: {error}") from None
    paths = dict.fromkeys(path for row in rows for path in row.files)
    inputs = [args.features, args.clean, *map(Path, paths)]
    record = program.record(args, inputs, {"draws": DRAWS, "stream": STREAM})
    scenario = Scenario(ScenarioFiles(features=str(args.features), clean=str(args.clean)))
    try:
        cells = [cell for row in rows for cell in cells_of(row, scenario)]
    except SampleError as error:
        raise SystemExit(str(error)) from None
    write_text(args.output, record, to_csv(DefenceCell, cells))


if __name__ == "__main__":
    main()
