"""Measure what an encoder, and the clean heads on it, make of the targets of an attack on pre-training.

The encoder may be the poisoned one, one that was made from it, or a clean one for comparison.
"""

from pathlib import Path

from featpoison import store
from featpoison.attacks.cross_pairs import Exposure
from featpoison.programs import program
from featpoison.results.measured_targets import Seen, measured


def main() -> None:
    """Poisoning set, feature cache, clean heads -> measures of its targets in one task."""
    parser = program.parser(__doc__)
    parser.set_defaults(device="cpu")  # a few matrix products
    parser.add_argument("--poisons", type=Path, required=True, help="poisoning set that has the targets")
    parser.add_argument("--task", required=True, help="name of the downstream data set")
    parser.add_argument("--features", type=Path, required=True, help="its features under the encoder")
    parser.add_argument("--heads", type=Path, required=True, help="clean heads on these features")
    parser.add_argument("--exposure", help="JSON of what the encoder saw of the poisons; absent: nothing")
    parser.add_argument("--seen-images", type=Path, help="with --exposure: clean images that it saw")
    parser.add_argument("--seen-poisons", type=Path, help="with --exposure: poisoning set that it saw")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    if not bool(args.exposure) == bool(args.seen_images) == bool(args.seen_poisons):
        parser.error("--exposure, --seen-images and --seen-poisons: expected all of them or none")
    seen = None
    if args.exposure:
        seen = Seen(program.settings(Exposure, args.exposure), args.seen_images, args.seen_poisons)
    values = {"task": args.task, "exposure": seen.exposure.model_dump() if seen else None}
    inputs = [args.poisons, args.features, args.heads, args.seen_images, args.seen_poisons]
    record = program.record(args, dict.fromkeys(path for path in inputs if path), values)
    try:
        arrays, classes = measured(
            args.poisons, args.task, features=args.features, heads=args.heads, seen=seen
        )
    except ValueError as error:
        raise SystemExit(f"{args.output}: {error}") from None
    store.write(args.output, arrays, record, classes=classes)


if __name__ == "__main__":
    main()
