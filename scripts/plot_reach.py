"""Figure "reach": the drop of target heads against the smallest budget that can hold them, by how far the
clean head was trained."""

from functools import partial
from pathlib import Path

from featpoison import store
from featpoison.programs import program
from featpoison.programs.output import write
from featpoison.render import reach, style


def main() -> None:
    """Measured steps, target heads, clean heads -> picture."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--reach", type=Path, required=True, help="what measure_reach.py wrote")
    parser.add_argument("--clean", type=Path, required=True, help="clean heads")
    parser.add_argument("--targets", type=Path, nargs="+", required=True, help="target heads to mark")
    parser.add_argument("--budgets", type=float, nargs="+", required=True, help="eps_d, a line each")
    parser.add_argument("output", type=Path, nargs="+", help="the picture, one path per form (.pdf, .png)")
    args = program.start(parser)
    inputs = [args.reach, args.clean, *args.targets]
    record = program.record(args, inputs, {"budgets": args.budgets})
    names = ("tau", "accuracy", "clean_accuracy", "step_size", "epochs")
    victims = store.read(args.clean, "sgd100_accuracy")["sgd100_accuracy"]  # (1, V, tail)
    content = reach.Reach(
        **store.read(args.reach, *names),
        budgets=tuple(args.budgets),
        victim_accuracy=float(victims[..., -1].mean()),
        chosen=tuple(map(chosen, args.targets)),
    )
    write(args.output, record, partial(style.save, reach.draw(content)))


def chosen(path: Path) -> reach.Chosen:
    """A target head's mark."""
    facts = store.read_attributes(path)
    return reach.Chosen(facts["target"], facts.get("eps_d"), **store.read(path, "tau", "accuracy"))


if __name__ == "__main__":
    main()
