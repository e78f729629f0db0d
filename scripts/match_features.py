"""Feature matching of one shard: optimise base images until their features approach the poisoned ones; resumes after a kill."""

from pathlib import Path

import torch
from featpoison import store
from featpoison.attacks.feature_matching import FeatureMatching, match_blocks
from featpoison.common.shards import Shard
from featpoison.encoders.encoder import load_encoder
from featpoison.encoders.features import extract, to_pixels
from featpoison.programs import program
from featpoison.records.checkpoints import Checkpoint


def main() -> None:
    """Images, encoder, pairs -> one shard of poison images with their features."""
    parser = program.parser(__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--settings", default="{}", help="JSON of the feature matching settings")
    parser.add_argument("--shard", type=Shard.parse, default=Shard(), help="which shard of how many, as 2-of-7")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    settings = program.settings(FeatureMatching, args.settings)
    inputs = [args.images, args.encoder, args.pairs]
    record = program.record(args, inputs, settings.model_dump() | {"shard": str(args.shard)})
    pairs = store.read(args.pairs)
    spread = len(pairs["base"]), settings.batch_size
    rows = args.shard.rows(*spread)
    base = to_pixels(store.read(args.images, "train_images", rows=pairs["base"][rows])["train_images"])
    encoder = load_encoder(args.encoder).to(args.device)
    checkpoint = Checkpoint(args.output, record)
    images, taken = match_blocks(
        torch.from_numpy(pairs["features"][rows]),
        base,
        load_encoder(args.encoder).fold_batchnorm().to(args.device),
        settings,
        blocks=[slice(block.start - rows.start, block.stop - rows.start) for block in args.shard.blocks(*spread)],
        checkpoint=checkpoint,
    )
    features = extract(images, encoder, batch_size=settings.batch_size)  # the blocks: shards must not change a bit
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
