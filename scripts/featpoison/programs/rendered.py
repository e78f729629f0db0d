"""The programs that render a CSV of numbers as LaTeX and as a picture, or draw a figure of it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

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
    text, outputs, record = _read(description, "one path per form (.tex, .pdf, .png)")

    def make(path: Path) -> None:
        if path.suffix == ".tex":
            header = [f"{name} sha256 {digest}" for name, digest in record["inputs"].items()]
            path.write_text(plain_table.to_latex(table_of(text), header))
        else:
            save(draw(text) if draw else plain_table.draw(table_of(text)), path)

    write(outputs, record, make)


def run_figure(description: str | None, draw: Callable[[str], Figure]) -> None:
    """CSV -> the picture that `draw` makes of its text."""
    text, outputs, record = _read(description, "the picture, one path per form (.pdf, .png)")
    write(outputs, record, partial(save, draw(text)))


def _read(description: str | None, forms: str) -> tuple[str, list[Path], dict[str, Any]]:
    """The text of the CSV, the outputs, and their record."""
    parser = program.parser(description, compute=False)
    parser.add_argument("--numbers", type=Path, required=True, help="CSV of the table")
    parser.add_argument("output", type=Path, nargs="+", help=forms)
    args = program.start(parser)
    return args.numbers.read_text(), args.output, program.record(args, [args.numbers], {})
