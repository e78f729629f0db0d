"""The programs that collect the numbers of a study of several result files as a CSV."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from featpoison.programs import program
from featpoison.programs.output import write_text
from featpoison.results.bootstrap import DRAWS, STREAM
from featpoison.results.samples import SampleError


def run(
    description: str | None,
    option: str,
    text: str,
    *,
    read: Callable[[str], tuple[Any, Any]],
    cells_of: Callable[[Any, Any], Iterable[Any]],
    to_csv: Callable[[Iterable[Any]], str],
) -> None:
    """Result files, feature caches, clean heads -> CSV.

    `option` is the argument whose JSON names the files, and `text` its help. `read` makes of it what is asked
    for and the samples behind it, `cells_of` makes the cells of these two.
    """
    parser = program.parser(description)
    parser.set_defaults(device="cpu")  # the heads' predictions are no work for a GPU
    parser.add_argument(option, dest="asked", required=True, help=text)
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    try:
        asked, samples = read(args.asked)
        record = program.record(args, samples.inputs, {"draws": DRAWS, "stream": STREAM})
        cells = cells_of(asked, samples)
    except SampleError as error:
        raise SystemExit(str(error)) from None
    write_text(args.output, record, to_csv(cells))
