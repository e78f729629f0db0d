"""Figure 7: poisons of feature matching within the clean images' range of magnitudes and beyond it, one row
per beta."""

from functools import partial
from pathlib import Path

from featpoison.datasets.stored import largest_pixel, training_images
from featpoison.programs import program
from featpoison.programs.output import write
from featpoison.render import anomalies, style
from featpoison.render.poison_images import read_shown


def main() -> None:
    """Images, poisons of each beta -> picture."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument(
        "--images", type=Path, required=True, help="image file that the poisons' base images come from"
    )
    parser.add_argument(
        "--poisons",
        type=Path,
        nargs="+",
        required=True,
        help="poison files of one seed and budget, one per beta",
    )
    parser.add_argument("output", type=Path, nargs="+", help="the picture, one path per form (.pdf, .png)")
    args = program.start(parser)
    record = program.record(args, [args.images, *args.poisons], {})
    shown = read_shown(args.poisons)
    largest = largest_pixel(args.images)
    clean = training_images(args.images, shown[0].base)
    write(args.output, record, partial(style.save, anomalies.draw(shown, clean, largest)))


if __name__ == "__main__":
    main()
