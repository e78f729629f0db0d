"""Figure 6: histogram of the poisons' largest pixel magnitude, one panel per beta."""

from pathlib import Path

from featpoison import program, store
from featpoison.render import magnitudes, style
from featpoison.render.products import write
from featpoison.render.shown import read_shown


def main() -> None:
    """Images, poisons of each beta -> picture."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--images", type=Path, required=True, help="the clean training images")
    parser.add_argument("--poisons", type=Path, nargs="+", required=True, help="poison files, one per beta")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    record = program.record(args, [args.images, *args.poisons], {})
    largest = store.read(args.images, "train_images")["train_images"].max() / 255
    write(args.output, record, lambda path: style.save(magnitudes.draw(read_shown(args.poisons), largest), path))


if __name__ == "__main__":
    main()
