"""Cache the frozen encoder's features of all training and test images, or of one shard of them."""

from pathlib import Path

from featpoison import store
from featpoison.common.shards import Shard
from featpoison.encoders.encoder import load_encoder
from featpoison.encoders.features import BATCH_SIZE, extract
from featpoison.programs import program


def main() -> None:
    """Images, encoder -> feature cache."""
    parser = program.parser(__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument(
        "--shard", type=Shard.parse, default=Shard(), help="which shard of how many, as 2-of-7"
    )
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    # The whole has the record that gathered shards have.
    record = program.record(
        args, [args.images, args.encoder], {"shard": str(args.shard)} if args.shard.count > 1 else {}
    )
    encoder = load_encoder(args.encoder).to(args.device)
    arrays = {}
    for part in ("train", "test"):
        with store.rows(args.images, f"{part}_images") as images:
            rows = args.shard.rows(len(images), BATCH_SIZE)
            arrays[part] = extract(images, encoder, rows=rows).numpy()
        arrays |= store.read(args.images, f"{part}_labels", rows=rows)
    store.write(args.output, arrays, record, classes=store.read_attributes(args.images)["classes"])


if __name__ == "__main__":
    main()
