"""Retrain both victims on clean plus poisoned features, for all poison seeds of one attack and budget
together.

With --images and --encoder, for attacks that make images, the same again after rounding to 8 bits, and how
much they look like their bases. The rounded images' features are computed here, or read from shards; the
result does not depend on which. With --base-labels, each poison is given the label of its base image.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from featpoison import store
from featpoison.common.pixels import rounded_to_8bit, to_8bit
from featpoison.datasets.stored import largest_pixel, training_pixels
from featpoison.downstream.poison_measures import feature_measures, image_measures
from featpoison.downstream.poisons import check_fit, read_poisons, with_base_labels
from featpoison.downstream.stored_heads import read_target
from featpoison.downstream.task import read_task
from featpoison.downstream.victims import Victims, retrain_all
from featpoison.encoders.encoder import load_encoder
from featpoison.encoders.features import extract
from featpoison.programs import program
from featpoison.records import provenance
from featpoison.records.provenance import Record
from torch import Tensor


def images_of(path: Path) -> Tensor:
    """The images (n, 3, h, w) in a poison file. Exits where there are none."""
    if "images" not in store.lengths(path):
        raise SystemExit(
            f"{path}: --images and --encoder are for poisons that are images; these are features"
        )
    return torch.from_numpy(store.read(path, "images")["images"])


def joined(
    shards: Sequence[Path], poisons: Sequence[Path], encoder: Path
) -> tuple[list[Tensor], list[Record]]:
    """The features in the shards of `extract_quantized`, of each poison file, and the shards' records.

    Exits naming the first shard that is not the next one of these files, made by this code with these
    libraries.
    """
    records = [store.read_provenance(path) for path in shards]
    settings = {"poisons": [provenance.relative(path) for path in poisons]}
    program_file = provenance.SCRIPTS / "extract_quantized.py"
    whole = provenance.record(program_file, [*poisons, encoder], settings, provenance.joint_device(records))
    for number, (path, record, own) in enumerate(
        zip(shards, records, provenance.of_whole(records), strict=True), 1
    ):
        expected = f"{number}-of-{len(shards)}"
        if own != whole or record["settings"]["shard"] != expected:
            found = f"{record['settings'].get('shard')} of {record['settings'].get('poisons')}"
            raise SystemExit(
                f"{path}: {found}, expected {expected} of {settings['poisons']} and {encoder} as they are, "
                "by this code"
            )
    parts = [store.read(path) for path in shards]
    return [
        torch.from_numpy(np.concatenate([part[str(index)] for part in parts]))
        for index in range(len(poisons))
    ], records


def arguments() -> argparse.Namespace:
    """The command line, checked."""
    parser = program.parser(__doc__)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--target", type=Path, help="target head of an attack that has one")
    parser.add_argument(
        "--poisons", type=Path, nargs="+", required=True, help="poison files, one per poison seed"
    )
    parser.add_argument(
        "--poison-seeds", type=int, nargs="+", required=True, help="the poison seeds, in the files' order"
    )
    parser.add_argument(
        "--base-labels", action="store_true", help="each poison is given the label of its base image"
    )
    parser.add_argument("--images", type=Path, help="with --encoder: the clean images")
    parser.add_argument("--encoder", type=Path)
    parser.add_argument(
        "--quantized", type=Path, nargs="+", default=[], help="the 8-bit images' features in shards, in order"
    )
    parser.add_argument("--settings", default="{}", help="JSON of the victims' settings")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    if (args.images is None) != (args.encoder is None):
        parser.error("--images and --encoder go together")
    if args.quantized and not args.encoder:
        parser.error("--quantized goes with --images and --encoder")
    if len(args.poison_seeds) != len(args.poisons):
        found = f"{len(args.poison_seeds)} seeds"
        parser.error(f"--poison-seeds: {found}, expected one for each of {len(args.poisons)} files")
    return args


def main() -> None:
    """Feature cache, poisons of each seed (and target head, images, encoder) -> retrained heads, accuracies,
    facts."""
    args = arguments()
    victims = program.settings(Victims, args.settings)
    inputs = [path for path in (args.features, args.target, *args.poisons, args.images, args.encoder) if path]
    values = victims.model_dump() | {"poison_seeds": args.poison_seeds, "base_labels": args.base_labels}
    record = program.record(args, inputs, values)
    task = read_task(args.features)
    poisons = [read_poisons(path, images=False) for path in args.poisons]
    for path, one in zip(args.poisons, poisons, strict=True):
        check_fit(path, one, task)
    if args.base_labels:
        poisons = [with_base_labels(one, task) for one in poisons]
    targets = [read_target(args.target, seed) for seed in args.poison_seeds] if args.target else []
    arrays, sets, exact = feature_measures(task, poisons, targets), poisons, True
    if args.images:
        # Many poisons' images are most of all their bytes, so those of one file are held at a time.
        shown = (
            replace(one, images=images_of(path)) for path, one in zip(args.poisons, poisons, strict=True)
        )
        arrays |= image_measures(shown, partial(training_pixels, args.images), largest_pixel(args.images))
        exact = all(torch.equal(rounded_to_8bit(images), images) for images in map(images_of, args.poisons))
    # Images that 8 bits hold exactly are their own copies, and so are their victims.
    if not exact:
        if args.quantized:
            features, records = joined(args.quantized, args.poisons, args.encoder)
            record["environment"]["device"] = provenance.joint_device([record, *records])
        else:
            encoder = load_encoder(args.encoder).to(args.device)
            features = [extract(to_8bit(images_of(path)), encoder) for path in args.poisons]
        sets = poisons + [replace(one, features=known) for one, known in zip(poisons, features, strict=True)]
    for name, values in retrain_all(task, sets, victims, args.device).items():
        arrays[name] = values[: len(poisons)]
        if args.images:
            arrays[f"quantized_{name}"] = values if exact else values[len(poisons) :]
    first = store.read_attributes(args.poisons[0])
    budget = store.read_attribute(args.poisons[0], "eps_d")
    removed = [store.read_attributes(path).get("removed", 0) for path in args.poisons]
    arrays["removed"] = np.array(removed)
    # Of an attack without a target there is no threshold.
    tau = {"tau": store.read_attribute(args.target, "tau")} if args.target else {}
    made_with = {name: first[name] for name in ("damping", "precision", "optimizer") if name in first}
    facts = {"seeds": victims.seeds, "eps_d": budget} | tau | made_with
    store.write(args.output, arrays, record, **facts)


if __name__ == "__main__":
    main()
