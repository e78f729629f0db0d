"""Retrain both victims on clean plus poisoned features, for all poison seeds of one attack and budget together.

With --images and --encoder, for attacks that make images, the same again after rounding to 8 bits, and how much they look like their bases.
The rounded images' features are computed here, or read from shards; the result does not depend on which.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from featpoison import program, provenance, store
from featpoison.constraints import EightBit
from featpoison.encoders.encoder import Encoder, load_encoder
from featpoison.encoders.features import extract, to_pixels
from featpoison.evaluation import Poisons, Victims, attack_facts, image_facts, retrain_all
from featpoison.products import read_poisons, read_target, read_task
from torch import Tensor


def quantized(poisons: Poisons, encoder: Encoder, features: Tensor | None) -> Poisons:
    """What an attacker can really upload: the images rounded to 8 bits, with their `features`, computed where they are not given."""
    if poisons.images is None:
        raise SystemExit("--images and --encoder are for poisons that are images; these are features")
    images = EightBit().project(poisons.images)
    return replace(poisons, images=images, features=extract(images, encoder) if features is None else features)


def joined(shards: Sequence[Path], poisons: Sequence[Path], encoder: Path) -> list[Tensor]:
    """The features in the shards of `extract_quantized`, of each poison file. Exits naming a shard that belongs to other files or is missing."""
    inputs = {provenance.relative(path): provenance.sha256_file(path) for path in (*poisons, encoder)}
    order = [provenance.relative(path) for path in poisons]
    for number, path in enumerate(shards, 1):
        made, settings = store.read_provenance(path), {"poisons": order, "shard": f"{number}-of-{len(shards)}"}
        if (made["inputs"], made["settings"]) != (inputs, settings):
            raise SystemExit(f"{path}: {made['settings']} from {sorted(made['inputs'])}, expected {settings} from {sorted(inputs)} as they are now")
    parts = [store.read(path) for path in shards]
    return [torch.from_numpy(np.concatenate([part[str(index)] for part in parts])) for index in range(len(poisons))]


def clean_images(path: Path, rows: Tensor) -> Tensor:
    """The training images of `rows`, in [0, 1]."""
    return to_pixels(store.read(path, "train_images", rows=rows.numpy())["train_images"])


def main() -> None:
    """Feature cache, target head, poisons of each seed (and images, encoder) -> retrained heads, accuracies, facts."""
    parser = program.parser(__doc__)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--poisons", type=Path, nargs="+", required=True, help="poison files, one per poison seed")
    parser.add_argument("--images", type=Path, help="with --encoder: the clean images")
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--quantized", type=Path, nargs="+", default=[], help="the 8-bit images' features in shards, in order")
    parser.add_argument("--settings", default="{}", help="JSON of the victims' settings")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    if (args.images is None) != (args.encoder is None):
        parser.error("--images and --encoder go together")
    if args.quantized and not args.encoder:
        parser.error("--quantized goes with --images and --encoder")
    victims = program.settings(Victims, args.settings)
    inputs = [path for path in (args.features, args.target, *args.poisons, args.images, args.encoder) if path]
    record = program.record(args, inputs, victims.model_dump())
    task, (target, G) = read_task(args.features), read_target(args.target)
    poisons = [read_poisons(path) for path in args.poisons]
    known = joined(args.quantized, args.poisons, args.encoder) if args.quantized else [None] * len(poisons)
    arrays = attack_facts(task, poisons, target, G)
    sets = poisons
    if args.images:
        encoder = load_encoder(args.encoder).to(args.device)
        sets = poisons + [quantized(one, encoder, features) for one, features in zip(poisons, known, strict=True)]
        largest = to_pixels(np.asarray(store.extent(args.images, "train_images")[1])).item()
        arrays |= image_facts(poisons, partial(clean_images, args.images), largest)
    for name, values in retrain_all(task, sets, victims, args.device).items():
        arrays[name] = values[: len(poisons)]
        if args.images:
            arrays[f"quantized_{name}"] = values[len(poisons) :]
    facts = store.read_attributes(args.target)
    first = store.read_attributes(args.poisons[0])
    removed = [store.read_attributes(path).get("removed", 0) for path in args.poisons]
    arrays["removed"] = np.array(removed)
    store.write(args.output, arrays, record, seeds=victims.seeds, tau=facts["tau"], eps_d=first["eps_d"])


if __name__ == "__main__":
    main()
