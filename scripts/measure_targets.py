"""Measure what an encoder, and the clean heads on it, make of the targets of an attack on pre-training.

The encoder may be the poisoned one, one that was made from it, or a clean one for comparison. The targets are
those of a poisoning set, or stand in a file of their own.
"""

import argparse
from pathlib import Path

from featpoison import store
from featpoison.attacks.cross_pairs import Exposure
from featpoison.programs import program
from featpoison.records.provenance import relative
from featpoison.results.measured_targets import Aims, InFile, InPoisons, Seen, measured


def main() -> None:
    """Poisoning set or file of targets, feature cache, clean heads -> measures of the targets in one task."""
    parser = program.parser(__doc__)
    parser.set_defaults(device="cpu")  # a few matrix products
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--poisons", type=Path, help="poisoning set that has the targets")
    where.add_argument("--targets", type=Path, help="file of targets")
    parser.add_argument("--task", required=True, help="name of the downstream data set")
    parser.add_argument("--features", type=Path, required=True, help="its features under the encoder")
    parser.add_argument("--heads", type=Path, required=True, help="clean heads on these features")
    parser.add_argument("--images", type=Path, help="with --targets: images of the downstream data set")
    parser.add_argument("--encoder", type=Path, help="with --targets: the encoder")
    parser.add_argument("--exposure", help="JSON of what the encoder saw of the poisons; absent: nothing")
    parser.add_argument(
        "--seen-images", type=Path, help="with --poisons and --exposure: clean images that it saw"
    )
    parser.add_argument(
        "--seen-poisons", type=Path, help="with --poisons and --exposure: poisoning set that it saw"
    )
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    aims, exposure = _aims(parser, args)
    values = {"task": args.task, "exposure": exposure.model_dump() if exposure else None}
    values |= {"targets": relative(args.targets)} if args.targets else {}
    inputs = [args.poisons, args.targets, args.features, args.heads, args.images, args.encoder]
    inputs += [args.seen_images, args.seen_poisons]
    record = program.record(args, dict.fromkeys(path for path in inputs if path), values)
    try:
        arrays, classes = measured(aims, features=args.features, heads=args.heads)
    except ValueError as error:
        raise SystemExit(f"{args.output}: {error}") from None
    store.write(args.output, arrays, record, classes=classes)


def _aims(parser: argparse.ArgumentParser, args: argparse.Namespace) -> tuple[Aims, Exposure | None]:
    """Where the targets come from, and what the encoder saw of the poisons; a usage error for arguments that
    do not go together."""
    exposure = program.settings(Exposure, args.exposure) if args.exposure else None
    if args.targets:
        if not (args.images and args.encoder) or args.seen_images or args.seen_poisons:
            parser.error("--targets: expected --images and --encoder, and no --seen-...")
        return InFile(args.targets, args.images, args.encoder, exposure), exposure
    if args.images or args.encoder:
        parser.error("--images and --encoder: expected only with --targets")
    if not bool(args.exposure) == bool(args.seen_images) == bool(args.seen_poisons):
        parser.error("--exposure, --seen-images and --seen-poisons: expected all of them or none")
    seen = Seen(exposure, args.seen_images, args.seen_poisons) if exposure else None
    return InPoisons(args.poisons, args.task, seen), exposure


if __name__ == "__main__":
    main()
