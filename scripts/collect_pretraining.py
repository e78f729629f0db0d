"""Collect the numbers of the table of attacks on pre-training: one CSV row for each row of the table, task
and victim."""

from pathlib import Path

import pydantic
from featpoison.programs import program
from featpoison.programs.output import write_text
from featpoison.results.bootstrap import DRAWS, STREAM
from featpoison.results.csv_rows import to_csv
from featpoison.results.target_cells import MeasureError, TargetCell, TargetRow, cells_of


def main() -> None:
    """Measures of targets -> CSV."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument(
        "--rows", required=True, help="JSON: a list of rows, with the files of their measures"
    )
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    try:
        rows = pydantic.TypeAdapter(list[TargetRow]).validate_json(args.rows)
    except pydantic.ValidationError as error:
        raise SystemExit(f"--rows: {error}") from None
    inputs = dict.fromkeys(Path(path) for row in rows for path in (*row.measures, *row.clean))
    record = program.record(args, inputs, {"draws": DRAWS, "stream": STREAM})
    try:
        cells = [cell for row in rows for cell in cells_of(row)]
    except MeasureError as error:
        raise SystemExit(str(error)) from None
    write_text(args.output, record, to_csv(TargetCell, cells))


if __name__ == "__main__":
    main()
