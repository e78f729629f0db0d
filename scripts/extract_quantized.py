"""Features of the 8-bit copies of an attack's poisons: one shard of the rows of each poison file.
`evaluate_attack` joins the shards."""

from pathlib import Path

import torch
from featpoison import store
from featpoison.common.pixels import to_8bit
from featpoison.common.shards import Shard
from featpoison.encoders.encoder import load_encoder
from featpoison.encoders.features import BATCH_SIZE, extract
from featpoison.programs import program
from featpoison.records import provenance


def main() -> None:
    """Poisons of each seed, encoder -> one shard of the features, an array a poison file, named by its
    position."""
    parser = program.parser(__doc__)
    parser.add_argument(
        "--poisons", type=Path, nargs="+", required=True, help="poison files, one per poison seed"
    )
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--shard", type=Shard.parse, required=True, help="which shard of how many, as 2-of-7")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    order = [provenance.relative(path) for path in args.poisons]
    record = program.record(args, [*args.poisons, args.encoder], {"poisons": order, "shard": str(args.shard)})
    encoder = load_encoder(args.encoder).to(args.device)
    features = {}
    for index, path in enumerate(args.poisons):
        rows = args.shard.rows(store.lengths(path)["images"], BATCH_SIZE)
        images = torch.from_numpy(store.read(path, "images", rows=rows)["images"])
        features[str(index)] = extract(to_8bit(images), encoder).numpy()
    store.write(args.output, features, record)


if __name__ == "__main__":
    main()
