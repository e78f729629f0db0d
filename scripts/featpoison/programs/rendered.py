"""The programs that render a CSV of numbers as LaTeX and as a picture."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from featpoison.programs import program
from featpoison.programs.output import write
from featpoison.render import plain_table
from featpoison.render.plain_table import Table
from featpoison.render.style import save


def run(
    description: str | None, table_of: Callable[[str], Table], draw: Callable[[str], Figure] | None = None
) -> None:
    """CSV -> tex, pdf or png, by each output's ending.

    `table_of` makes the table of the CSV's text, and `draw` the picture, without which it is the table's own.
    """
    parser = program.parser(description, compute=False)
    parser.add_argument("--numbers", type=Path, required=True, help="CSV of the table")
    parser.add_argument("output", type=Path, nargs="+", help="one path per form (.tex, .pdf, .png)")
    args = program.start(parser)
    record = program.record(args, [args.numbers], {})
    text = args.numbers.read_text()

    def make(path: Path) -> None:
        if path.suffix == ".tex":
            header = [f"{name} sha256 {digest}" for name, digest in record["inputs"].items()]
            path.write_text(plain_table.to_latex(table_of(text), header))
        else:
            save(draw(text) if draw else plain_table.draw(table_of(text)), path)

    write(args.output, record, make)
