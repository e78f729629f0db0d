"""Feature matching of one shard: optimise base images until their features approach the poisoned ones; resumes after a kill."""

from pathlib import Path

import numpy as np
import torch
from featpoison import program, store
from featpoison.attacks.feature_matching import FeatureMatching, blocks_of, match
from featpoison.checkpoints import Checkpoint
from featpoison.encoders.encoder import load_encoder
from featpoison.encoders.features import extract, to_pixels
from featpoison.progress import Progress


def main() -> None:
    """Images, encoder, pairs -> one shard of poison images with their features."""
    parser = program.parser(__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--settings", default="{}", help="JSON of the feature matching settings")
    parser.add_argument("--shard", default="1-of-1", help="which shard of how many, as 2-of-7")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    settings = program.settings(FeatureMatching, args.settings)
    shard, shards = (int(part) for part in args.shard.split("-of-"))
    inputs = [args.images, args.encoder, args.pairs]
    record = program.record(args, inputs, settings.model_dump() | {"shard": args.shard})
    pairs = store.read(args.pairs)
    blocks = list(blocks_of(len(pairs["base"]), settings.batch_size, shard - 1, shards))
    rows = np.concatenate([np.arange(block.start, block.stop) for block in blocks]) if blocks else np.empty(0, np.int64)
    unique, inverse = np.unique(pairs["base"][rows], return_inverse=True)  # HDF5 reads sorted rows only
    base = to_pixels(store.read(args.images, "train_images", rows=unique)["train_images"][inverse])

    encoder = load_encoder(args.encoder).to(args.device)
    folded = load_encoder(args.encoder).fold_batchnorm().to(args.device)
    checkpoint = Checkpoint(args.output, record)
    state = checkpoint.load()
    images, taken = (state[0]["images"], state[0]["taken"]) if state else (base.clone(), torch.zeros(len(rows), dtype=torch.int64))
    done = state[1]["done"] if state else 0
    progress = Progress(len(rows), "images", done=done)
    for block in blocks:
        place = slice(block.start - rows[0], block.stop - rows[0])
        if place.stop <= done:
            continue
        z = torch.from_numpy(pairs["features"][block]).to(args.device)
        nu, steps = match(z, base[place].to(args.device), folded, settings)
        images[place], taken[place] = nu.cpu(), steps.cpu()
        checkpoint.save({"images": images, "taken": taken}, done=int(place.stop))
        progress.advance(place.stop - place.start, note=f"{taken[place].double().mean():.0f} of {settings.steps} steps on average")
    features = extract(images, encoder)
    distance = (features.double() - torch.from_numpy(pairs["features"][rows]).double()).square().sum(1)
    arrays = {
        "images": images.numpy(),
        "features": features.numpy(),
        "labels": pairs["labels"][rows],
        "base": pairs["base"][rows],
        "steps": taken.numpy(),
        "first_distance": pairs["distance"][rows],
        "distance": distance.numpy(),
    }
    store.write(args.output, arrays, record, eps_d=store.read_attributes(args.pairs)["eps_d"])
    checkpoint.remove()


if __name__ == "__main__":
    main()
