"""Draw the figure "success": success on targets against what differs between rows of the table of attacks on
pre-training."""

from functools import partial
from pathlib import Path

from featpoison.programs import program
from featpoison.programs.output import write
from featpoison.render import style
from featpoison.render.success import draw
from featpoison.results.csv_rows import from_csv
from featpoison.results.target_cells import TargetCell


def main() -> None:
    """CSV -> picture."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--numbers", type=Path, required=True, help="CSV of the table")
    parser.add_argument("output", type=Path, nargs="+", help="the picture, one path per form (.pdf, .png)")
    args = program.start(parser)
    record = program.record(args, [args.numbers], {})
    write(args.output, record, partial(style.save, draw(from_csv(TargetCell, args.numbers.read_text()))))


if __name__ == "__main__":
    main()
