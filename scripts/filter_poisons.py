"""Magnitude filter: keep the poisons whose largest pixel does not exceed that of the clean training images."""

from pathlib import Path

import torch
from featpoison import store
from featpoison.defences.magnitude_filter import kept
from featpoison.programs import program


def main() -> None:
    """Images, poisons -> the poisons that a defender would keep."""
    parser = program.parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="the clean training images")
    parser.add_argument("--poisons", type=Path, required=True)
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    record = program.record(args, [args.images, args.poisons], {})
    largest = float(store.extent(args.images, "train_images")[1]) / 255
    arrays = store.read(args.poisons)
    rows = kept(torch.from_numpy(arrays["images"]), largest).numpy()
    facts = store.read_attributes(args.poisons) | {"removed": len(arrays["images"]) - len(rows), "clean_largest": largest}
    store.write(args.output, {name: array[rows] for name, array in arrays.items()}, record, **facts)


if __name__ == "__main__":
    main()
