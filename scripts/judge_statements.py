"""Judge what a review states of PoisonedEncoder by the intervals of our own numbers, and write the page that
says so."""

from pathlib import Path

from featpoison.papers.liu2022 import STATEMENTS
from featpoison.programs import program
from featpoison.programs.output import write_text
from featpoison.programs.target_rows import add_rows, files_of, rows_of
from featpoison.render.statements_page import page
from featpoison.results.target_cells import from_csv
from featpoison.results.target_claims import judge


def main() -> None:
    """CSV of the table, measures of targets -> Markdown."""
    parser = program.parser(__doc__, compute=False)
    add_rows(parser)
    parser.add_argument("--numbers", type=Path, required=True, help="CSV of the table with these rows")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    rows = rows_of(args)
    record = program.record(args, [args.numbers, *files_of(rows)], {})
    cells = {(cell.source, cell.victim): cell for cell in from_csv(args.numbers.read_text())}
    if missing := [row for row in rows if (" ".join(row.measures), "sgd100") not in cells]:
        raise SystemExit(f"{args.numbers}: no row of {' '.join(missing[0].measures)}, expected one")
    write_text(args.output, record, page([judge(one, rows, cells) for one in STATEMENTS], cells))


if __name__ == "__main__":
    main()
