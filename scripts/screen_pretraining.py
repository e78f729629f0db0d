"""Screen the images of a poisoned pre-training: leave out what crowds together in the features of an encoder.

The outputs are an image file with the training images that are kept, and the poisoning set with the poisons
that are kept. Who screens cannot tell one from the other; the log says how many of each there are.
"""

import logging
from pathlib import Path

import numpy as np
import torch
from featpoison import store
from featpoison.encoders.encoder import load_encoder
from featpoison.pretraining.poison_sets import PREFIX, read_poison_sets
from featpoison.pretraining.screening import Screening, densities, features_of, sparsest
from featpoison.programs import program


def main() -> None:
    """Images, poisoning set, encoder -> the images and poisons that are kept."""
    parser = program.parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="image file of the pre-training set")
    parser.add_argument("--poisons", type=Path, required=True, help="poisoning set")
    parser.add_argument("--encoder", type=Path, required=True, help="encoder whose features are compared")
    parser.add_argument("--settings", default="{}", help="JSON of the screening's settings")
    parser.add_argument("output", type=Path, nargs=2, help="the kept images, and the kept poisons")
    args = program.start(parser)
    settings = program.settings(Screening, args.settings)
    inputs = [args.images, args.poisons, args.encoder]
    record = program.record(args, inputs, settings.model_dump())
    arrays = store.read(args.images, "train_images", "train_labels")
    images = torch.from_numpy(arrays["train_images"])
    sets = [images, *read_poison_sets(args.poisons)]
    features = features_of(sets, load_encoder(args.encoder).to(args.device))
    try:
        kept = sparsest(densities(features, settings.neighbours), settings.share).numpy()
    except ValueError as error:
        raise SystemExit(f"{args.output[0]}: {error}") from None
    clean, poisons = kept[: len(images)], kept[len(images) :]
    counts = {"clean": len(clean), "clean_kept": int(clean.sum())}
    counts |= {"poisons": len(poisons), "poisons_kept": int(poisons.sum())}
    logging.info(
        "kept %(clean_kept)d of %(clean)d images and %(poisons_kept)d of %(poisons)d poisons", counts
    )
    own = {name: array[clean] for name, array in arrays.items()}
    store.write(args.output[0], own, record, classes=store.read_attributes(args.images)["classes"], **counts)
    facts = store.read_attributes(args.poisons)
    store.write(args.output[1], _kept_poisons(args.poisons, poisons), record, **facts, **counts)


def _kept_poisons(path: Path, kept: np.ndarray) -> dict[str, np.ndarray]:
    """The datasets of a poisoning set without the images, and their rows of columns, that are not kept."""
    arrays = store.read(path)
    start, result = 0, {}
    for name in sorted(name for name in arrays if name.startswith(PREFIX)):
        result[name] = arrays[name][kept[start : start + len(arrays[name])]]
        start += len(arrays[name])
    return result | {name: array[kept] for name, array in arrays.items() if not name.startswith(PREFIX)}


if __name__ == "__main__":
    main()
