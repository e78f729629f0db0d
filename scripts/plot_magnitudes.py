"""Figure 6: histogram of the poisons' largest pixel magnitude, one panel per beta; with a second scenario,
both in each panel."""

from functools import partial
from pathlib import Path

from featpoison.datasets.stored import largest_pixel
from featpoison.programs import program
from featpoison.programs.output import write
from featpoison.render import magnitudes, style
from featpoison.render.poison_images import read_shown


def main() -> None:
    """Images, poisons of each beta (of two scenarios) -> picture."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--images", type=Path, required=True, help="the clean training images")
    parser.add_argument("--poisons", type=Path, nargs="+", required=True, help="poison files, one per beta")
    parser.add_argument(
        "--transfer", type=Path, nargs="*", default=[], help="poison files of a second scenario, one per beta"
    )
    parser.add_argument(
        "--names", nargs="+", default=["fine-tuning", "transfer"], help="names of the scenarios"
    )
    parser.add_argument("output", type=Path, nargs="+", help="the picture, one path per form (.pdf, .png)")
    args = program.start(parser)
    files = [args.poisons, args.transfer] if args.transfer else [args.poisons]
    if len(args.names) < len(files):
        parser.error(f"--names: {' '.join(args.names)}, expected one for each of the {len(files)} scenarios")
    record = program.record(args, [args.images, *args.poisons, *args.transfer], {"names": args.names})
    largest = largest_pixel(args.images)
    scenarios = {name: read_shown(paths) for name, paths in zip(args.names, files, strict=False)}
    write(args.output, record, partial(style.save, magnitudes.draw(scenarios, largest)))


if __name__ == "__main__":
    main()
