"""Collect the numbers of the table of attacks on pre-training: one CSV row for each row of the table, task
and victim."""

from pathlib import Path

from featpoison.programs import program
from featpoison.programs.output import write_text
from featpoison.programs.target_rows import add_rows, files_of, rows_of
from featpoison.results.bootstrap import DRAWS, STREAM
from featpoison.results.target_cells import MeasureError, cells_of, to_csv


def main() -> None:
    """Measures of targets -> CSV."""
    parser = program.parser(__doc__, compute=False)
    add_rows(parser)
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    rows = rows_of(args)
    record = program.record(args, files_of(rows), {"draws": DRAWS, "stream": STREAM})
    try:
        cells = [cell for row in rows for cell in cells_of(row)]
    except MeasureError as error:
        raise SystemExit(str(error)) from None
    write_text(args.output, record, to_csv(cells))


if __name__ == "__main__":
    main()
