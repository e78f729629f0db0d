"""Figure 5: clean images and the poisons that feature matching makes of them, one row per beta."""

from pathlib import Path

from featpoison import program
from featpoison.render import poisons, style
from featpoison.render.products import write
from featpoison.render.shown import base_images, read_shown


def main() -> None:
    """Images, poisons of each beta -> picture."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--images", type=Path, required=True, help="image file that the poisons' base images come from")
    parser.add_argument("--poisons", type=Path, nargs="+", required=True, help="poison files, one per beta")
    parser.add_argument("--count", type=int, default=10, help="images of a row (default 10)")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    record = program.record(args, [args.images, *args.poisons], {"count": args.count})
    shown = read_shown(args.poisons, args.count)
    clean = [base_images(args.images, part.base) for part in shown]
    write(args.output, record, lambda path: style.save(poisons.draw(shown, clean), path))


if __name__ == "__main__":
    main()
