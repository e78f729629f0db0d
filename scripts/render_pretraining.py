"""Render the table of attacks on pre-training as LaTeX (.tex) or as a picture (.pdf, .png)."""

from pathlib import Path

from featpoison.programs import program
from featpoison.programs.output import write
from featpoison.render.pretraining_table import draw, to_latex
from featpoison.render.style import save
from featpoison.results.target_cells import from_csv


def main() -> None:
    """CSV -> tex, pdf or png, by each output's ending."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--numbers", type=Path, required=True, help="CSV of the table")
    parser.add_argument("output", type=Path, nargs="+", help="one path per form (.tex, .pdf, .png)")
    args = program.start(parser)
    record = program.record(args, [args.numbers], {})
    cells = from_csv(args.numbers.read_text())

    def make(path: Path) -> None:
        if path.suffix == ".tex":
            header = [f"{name} sha256 {digest}" for name, digest in record["inputs"].items()]
            path.write_text(to_latex(cells, header))
        else:
            save(draw(cells), path)

    write(args.output, record, make)


if __name__ == "__main__":
    main()
