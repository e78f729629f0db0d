"""Pre-train an encoder with SimCLR on the training images of a data set, without labels, and on the images of
a poisoning set where one is given; resumes after a kill.

It may go on from another encoder, see only a part of the images, and keep the encoder after some epochs.
"""

from pathlib import Path

import torch
from featpoison import store
from featpoison.encoders.encoder import load_encoder, save_encoder
from featpoison.pretraining.poison_sets import read_poison_sets
from featpoison.pretraining.simclr import pretrain
from featpoison.pretraining.snapshots import Snapshots
from featpoison.pretraining.training import Training, drawn
from featpoison.programs import program
from featpoison.records.checkpoints import Checkpoint


def main() -> None:
    """Images -> encoder."""
    parser = program.parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="image file of the pre-training set")
    parser.add_argument("--poisons", type=Path, help="poisoning set, as poison_pretraining.py makes it")
    parser.add_argument("--start", type=Path, help="encoder whose training goes on")
    parser.add_argument("--settings", default="{}", help="JSON of the SimCLR settings")
    parser.add_argument(
        "output", type=Path, nargs="+", help="the encoder, and the file of its snapshots where there are any"
    )
    args = program.start(parser)
    settings = program.settings(Training, args.settings)
    if len(args.output) != (2 if settings.snapshots else 1):
        parser.error(
            f"output: {len(args.output)} files, expected a second one for snapshots and only for these"
        )
    inputs = [path for path in (args.images, args.poisons, args.start) if path]
    # Of a plain training the record is that of SimCLR's settings.
    plain = settings.subset is None and not settings.snapshots
    values = settings.model_dump(exclude={"subset", "snapshots"} if plain else None)
    record = program.record(args, inputs, values)
    images = torch.from_numpy(store.read(args.images, "train_images")["train_images"])
    poisons = read_poison_sets(args.poisons) if args.poisons else []
    output = args.output[0]
    checkpoint, kept = Checkpoint(output, record), Snapshots(output, settings.snapshots)
    try:
        images, *poisons = drawn([images, *poisons], settings.subset)
        encoder, losses = pretrain(
            images,
            settings,
            device=args.device,
            checkpoint=checkpoint,
            poisons=poisons,
            start=load_encoder(args.start) if args.start else None,
            after_epoch=kept.keep,
        )
    except ValueError as error:
        raise SystemExit(f"{output}: {error}") from None
    if settings.snapshots:
        kept.join(args.output[1], encoder, record, losses)
    save_encoder(output, encoder, record, dtype=torch.bfloat16, losses=losses)
    kept.remove()
    checkpoint.remove()


if __name__ == "__main__":
    main()
