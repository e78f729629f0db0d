"""Figure 8: clean images and what EMN's noise against a frozen encoder makes of them, one row per
scenario."""

from functools import partial
from pathlib import Path

from featpoison.programs import program
from featpoison.programs.output import write
from featpoison.render import emn_noise, style


def main() -> None:
    """Images, noise of each scenario -> picture."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="image files, one per scenario")
    parser.add_argument("--noise", type=Path, nargs="+", required=True, help="noise files, one per scenario")
    parser.add_argument("--names", nargs="+", required=True, help="names of the scenarios")
    parser.add_argument("--count", type=int, default=10, help="images of a row (default 10)")
    parser.add_argument(
        "--amplification",
        type=float,
        default=12.0,
        help="factor for the rows that show noise alone (default 12)",
    )
    parser.add_argument("output", type=Path, nargs="+", help="the picture, one path per form (.pdf, .png)")
    args = program.start(parser)
    if not len(args.images) == len(args.noise) == len(args.names):
        parser.error(
            f"{len(args.images)} --images, {len(args.noise)} --noise, {len(args.names)} --names: expected "
            "one each per scenario"
        )
    record = program.record(
        args,
        [*args.images, *args.noise],
        {"names": args.names, "count": args.count, "amplification": args.amplification},
    )
    shown = [
        emn_noise.read_perturbed(*part, args.count)
        for part in zip(args.names, args.images, args.noise, strict=True)
    ]
    write(args.output, record, partial(style.save, emn_noise.draw(shown, args.amplification)))


if __name__ == "__main__":
    main()
