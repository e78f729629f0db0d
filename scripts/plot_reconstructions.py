"""Figure 4: test images and their reconstructions by each kind of decoder, with the errors over the test
set."""

from functools import partial
from pathlib import Path

from featpoison import store
from featpoison.programs import program
from featpoison.programs.output import write
from featpoison.render import reconstructions, style


def main() -> None:
    """Reconstructions -> picture."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--reconstructions", type=Path, required=True)
    parser.add_argument("output", type=Path, nargs="+", help="the picture, one path per form (.pdf, .png)")
    args = program.start(parser)
    record = program.record(args, [args.reconstructions], {})
    shown, facts = store.read(args.reconstructions), store.read_attributes(args.reconstructions)
    write(
        args.output,
        record,
        partial(style.save, reconstructions.draw(shown, facts["errors"], facts["test_images"])),
    )


if __name__ == "__main__":
    main()
