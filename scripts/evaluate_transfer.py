"""Retrain both victims on the features that another encoder than the attacked one gives an attack's images,
for all poison seeds together.

Only the images travel, after rounding to 8 bits: what an attacker can upload. The arrays have the names that
the 8-bit copies have in the results of `evaluate_attack`. With --base-labels, each poison is given the label
of its base image.
"""

from dataclasses import replace
from pathlib import Path

from featpoison import store
from featpoison.common.pixels import rounded_to_8bit
from featpoison.downstream.poison_measures import feature_measures
from featpoison.downstream.poisons import Poisons, read_poisons, with_base_labels
from featpoison.downstream.task import read_task
from featpoison.downstream.victims import Victims, retrain_all
from featpoison.encoders.encoder import Encoder, load_encoder
from featpoison.encoders.features import extract
from featpoison.programs import program


def seen_by(encoder: Encoder, poisons: Poisons, path: Path) -> Poisons:
    """The 8-bit copies of the poisons in `path` as the encoder sees them. Exits where they are no images.

    How far they are from the features that they were made for counts under another encoder, and is left out.
    """
    if poisons.images is None:
        raise SystemExit(f"{path}: no images, expected poisons that are images: features do not travel")
    images = rounded_to_8bit(poisons.images)
    return replace(poisons, images=images, features=extract(images, encoder), distance=None)


def main() -> None:
    """The victims' encoder and feature cache, poisons of each seed -> retrained heads, accuracies, facts."""
    parser = program.parser(__doc__)
    parser.add_argument("--features", type=Path, required=True, help="feature cache of the victims' encoder")
    parser.add_argument("--encoder", type=Path, required=True, help="the victims' encoder")
    parser.add_argument(
        "--poisons", type=Path, nargs="+", required=True, help="poison images, one file per poison seed"
    )
    parser.add_argument(
        "--poison-seeds", type=int, nargs="+", required=True, help="the poison seeds, in the files' order"
    )
    parser.add_argument(
        "--base-labels", action="store_true", help="each poison is given the label of its base image"
    )
    parser.add_argument("--settings", default="{}", help="JSON of the victims' settings")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    if len(args.poison_seeds) != len(args.poisons):
        found = f"{len(args.poison_seeds)} seeds"
        parser.error(f"--poison-seeds: {found}, expected one for each of {len(args.poisons)} files")
    victims = program.settings(Victims, args.settings)
    values = victims.model_dump() | {"poison_seeds": args.poison_seeds, "base_labels": args.base_labels}
    record = program.record(args, [args.features, args.encoder, *args.poisons], values)
    task, encoder = read_task(args.features), load_encoder(args.encoder).to(args.device)
    sets = [seen_by(encoder, read_poisons(path), path) for path in args.poisons]
    if args.base_labels:
        sets = [with_base_labels(one, task) for one in sets]
    arrays = feature_measures(task, sets, [])
    for name, values in retrain_all(task, sets, victims, args.device).items():
        arrays[f"quantized_{name}"] = values
    first = store.read_attributes(args.poisons[0])
    store.write(args.output, arrays, record, seeds=victims.seeds, eps_d=first["eps_d"])


if __name__ == "__main__":
    main()
