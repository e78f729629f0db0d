"""Figure "worth": what the pipeline's drop changes by when one stage is left out or replaced."""

from functools import partial
from pathlib import Path

from featpoison.programs import program
from featpoison.programs.output import write
from featpoison.render import style, worth
from featpoison.results.ablation_cells import from_csv


def main() -> None:
    """CSV of the ablation -> picture."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--numbers", type=Path, required=True, help="CSV of the ablation")
    parser.add_argument("output", type=Path, nargs="+", help="the picture, one path per form (.pdf, .png)")
    args = program.start(parser)
    record = program.record(args, [args.numbers], {})
    write(args.output, record, partial(style.save, worth.draw(from_csv(args.numbers.read_text()))))


if __name__ == "__main__":
    main()
