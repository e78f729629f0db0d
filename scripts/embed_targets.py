"""Write the targets of a poisoned pre-training to a small file, which can lie in a repository beside the
poisoned encoder, as its poisons cannot."""

from pathlib import Path

from featpoison import store
from featpoison.pretraining.target_files import write_targets
from featpoison.programs import program


def main() -> None:
    """Poisoning set, images of a downstream task -> file of targets."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--poisons", type=Path, required=True, help="poisoning set")
    parser.add_argument("--pretraining-images", type=Path, required=True, help="images that it was put among")
    parser.add_argument("--task", required=True, help="name of the downstream data set that has the targets")
    parser.add_argument("--images", type=Path, required=True, help="its images")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    inputs = [args.poisons, args.pretraining_images, args.images]
    record = program.record(args, inputs, {"task": args.task})
    clean = store.lengths(args.pretraining_images)["train_images"]
    try:
        write_targets(
            args.output, args.poisons, args.task, downstream=args.images, clean=clean, record=record
        )
    except ValueError as error:
        raise SystemExit(f"{args.poisons}: {error}") from None


if __name__ == "__main__":
    main()
