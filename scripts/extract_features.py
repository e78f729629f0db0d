"""Cache the frozen encoder's features of all training and test images."""

from pathlib import Path

from featpoison import program, store
from featpoison.encoders.encoder import load_encoder
from featpoison.encoders.features import extract


def main() -> None:
    """Images, encoder -> feature cache."""
    parser = program.parser(__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    record = program.record(args, [args.images, args.encoder], {})
    encoder = load_encoder(args.encoder).to(args.device)
    arrays = {}
    for part in ("train", "test"):
        with store.rows(args.images, f"{part}_images") as images:
            arrays[part] = extract(images, encoder).numpy()
        arrays |= store.read(args.images, f"{part}_labels")
    store.write(args.output, arrays, record, classes=store.read_attributes(args.images)["classes"])


if __name__ == "__main__":
    main()
