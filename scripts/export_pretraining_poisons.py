"""Export images that poison pre-training for other training code: 8-bit PNG files in one folder, and a table
of what each is made of."""

from pathlib import Path

from featpoison.datasets.stored import class_names
from featpoison.pretraining.poison_files import PoisonFile
from featpoison.programs import program
from featpoison.programs.named import add_downstream, downstream_of
from featpoison.render.export import ExportError
from featpoison.render.export_pretraining import export


def main() -> None:
    """Poisoning set, images of the downstream tasks -> folder."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--poisons", type=Path, required=True, help="poisoning set")
    add_downstream(parser)
    parser.add_argument("output", type=Path, help="a new or empty folder")
    args = program.start(parser)
    downstream = downstream_of(parser, args)
    record = program.record(args, [args.poisons, *downstream.values()], {})
    poisons = PoisonFile(args.poisons)
    if missing := [name for name in poisons.tasks if name not in downstream]:
        parser.error(f"--downstream: expected the images of {missing[0]} too")
    try:
        export(poisons, {name: class_names(path) for name, path in downstream.items()}, args.output, record)
    except ExportError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
