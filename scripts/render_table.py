"""Render a table's numbers as LaTeX (.tex) or as a picture (.pdf, .png)."""

from pathlib import Path

from featpoison import store
from featpoison.programs import program
from featpoison.programs.output import write
from featpoison.render.latex import to_latex
from featpoison.render.layout import Facts, TargetFacts
from featpoison.results.cells import damping_of, from_csv, largest_swing, perturbed_images


def target_facts(path: Path) -> TargetFacts:
    """What a target's file says of the choice of its head."""
    facts = store.read_attributes(path)
    names = ("tau", "training_error", "eps_w", "scale", "eps_d", "step_size", "epochs")
    return TargetFacts(name=facts["target"], **{name: facts.get(name) for name in names})


def main() -> None:
    """CSV -> tex, pdf or png, by each output's ending."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--numbers", type=Path, required=True, help="CSV of the table")
    parser.add_argument("--targets", type=Path, nargs="*", default=[], help="target heads of the rows")
    parser.add_argument(
        "--victims", type=Path, nargs="*", default=[], help="result files of the table's victims"
    )
    parser.add_argument(
        "--missing", nargs="*", default=[], help="rows with budgets that are not run, for a note"
    )
    parser.add_argument("output", type=Path, nargs="+", help="one path per form (.tex, .pdf, .png)")
    args = program.start(parser)
    settings = {"missing": args.missing} if args.missing else {}
    record = program.record(args, [args.numbers, *args.targets, *args.victims], settings)
    cells = from_csv(args.numbers.read_text())
    facts = Facts(
        swing=largest_swing(args.victims),
        targets=tuple(map(target_facts, args.targets)),
        damping=damping_of(args.victims),
        images=perturbed_images(args.victims),
        missing=tuple(args.missing),
    )

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
