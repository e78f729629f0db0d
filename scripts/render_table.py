"""Render a table's numbers as LaTeX (.tex) or as a picture (.pdf, .png)."""

from pathlib import Path

from featpoison.programs import program
from featpoison.programs.output import write
from featpoison.render.latex import to_latex
from featpoison.render.layout import Facts
from featpoison.results.cells import from_csv, largest_swing, perturbed_images


def main() -> None:
    """CSV -> tex, pdf or png, by each output's ending."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--numbers", type=Path, required=True, help="CSV of the table")
    parser.add_argument("--eps-w", type=float, default=1.0, help="eps_w of the target head, for the notes")
    parser.add_argument(
        "--victims", type=Path, nargs="*", default=[], help="result files of the table's victims"
    )
    parser.add_argument("output", type=Path, nargs="+", help="one path per form (.tex, .pdf, .png)")
    args = program.start(parser)
    record = program.record(args, [args.numbers, *args.victims], {"eps_w": args.eps_w})
    cells = from_csv(args.numbers.read_text())
    images = perturbed_images(args.victims)
    facts = Facts(eps_w=args.eps_w, swing=largest_swing(args.victims), images=images)

    def make(path: Path) -> None:
        if path.suffix == ".tex":
            header = [f"{name} sha256 {digest}" for name, digest in record["inputs"].items()]
            path.write_text(to_latex(cells, facts, header))
        else:
            from featpoison.render import picture, style

            style.save(picture.draw(cells, facts), path)

    write(args.output, record, make)


if __name__ == "__main__":
    main()
