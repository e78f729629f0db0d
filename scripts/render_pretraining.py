"""Render the table of attacks on pre-training as LaTeX (.tex) or as a picture (.pdf, .png)."""

from pathlib import Path

from featpoison.programs import program
from featpoison.programs.output import write
from featpoison.render import line_table
from featpoison.render.pretraining_table import table_of
from featpoison.render.style import save
from featpoison.results.csv_rows import from_csv
from featpoison.results.target_cells import TargetCell


def main() -> None:
    """CSV -> tex, pdf or png, by each output's ending."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--numbers", type=Path, required=True, help="CSV of the table")
    parser.add_argument("output", type=Path, nargs="+", help="one path per form (.tex, .pdf, .png)")
    args = program.start(parser)
    record = program.record(args, [args.numbers], {})
    table = table_of(from_csv(TargetCell, args.numbers.read_text()))

    def make(path: Path) -> None:
        if path.suffix == ".tex":
            header = [f"{name} sha256 {digest}" for name, digest in record["inputs"].items()]
            path.write_text(line_table.to_latex(table, header))
        else:
            save(line_table.draw(table), path)

    write(args.output, record, make)


if __name__ == "__main__":
    main()
