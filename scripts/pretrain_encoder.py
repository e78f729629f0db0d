"""Pre-train an encoder with SimCLR on the training images of a data set, without labels, and on the images of
a poisoning set where one is given; resumes after a kill."""

from pathlib import Path

import torch
from featpoison import store
from featpoison.encoders.encoder import save_encoder
from featpoison.pretraining.poison_sets import read_poison_sets
from featpoison.pretraining.simclr import SimCLR, pretrain
from featpoison.programs import program
from featpoison.records.checkpoints import Checkpoint


def main() -> None:
    """Images -> encoder."""
    parser = program.parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="image file of the pre-training set")
    parser.add_argument("--poisons", type=Path, help="poisoning set, as poison_pretraining.py makes it")
    parser.add_argument("--settings", default="{}", help="JSON of the SimCLR settings")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    settings = program.settings(SimCLR, args.settings)
    inputs = [args.images, args.poisons] if args.poisons else [args.images]
    record = program.record(args, inputs, settings.model_dump())
    images = torch.from_numpy(store.read(args.images, "train_images")["train_images"])
    poisons = read_poison_sets(args.poisons) if args.poisons else []
    checkpoint = Checkpoint(args.output, record)
    encoder, losses = pretrain(images, settings, device=args.device, checkpoint=checkpoint, poisons=poisons)
    save_encoder(args.output, encoder, record, dtype=torch.bfloat16, losses=losses)
    checkpoint.remove()


if __name__ == "__main__":
    main()
