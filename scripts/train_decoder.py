"""Train a decoder to reconstruct the training images from an encoder's features, without labels; resumes
after a kill."""

from pathlib import Path
from typing import get_args

import torch
from featpoison import store
from featpoison.attacks.decoder_inversion import DecoderInversion, train_decoder
from featpoison.encoders.decoder import Kind, save_decoder
from featpoison.encoders.encoder import load_encoder
from featpoison.programs import program
from featpoison.records.checkpoints import Checkpoint


def main() -> None:
    """Images, encoder -> decoder."""
    parser = program.parser(__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument(
        "--kind",
        choices=get_args(Kind),
        required=True,
        help="skip: U-Net; plain: no skip connections; end-to-end: encoder trained too",
    )
    parser.add_argument("--settings", default="{}", help="JSON of the decoder inversion settings")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    settings = program.settings(DecoderInversion, args.settings)
    record = program.record(args, [args.images, args.encoder], settings.model_dump() | {"kind": args.kind})
    images = torch.from_numpy(store.read(args.images, "train_images")["train_images"])
    checkpoint = Checkpoint(args.output, record)
    network, losses = train_decoder(
        images, load_encoder(args.encoder).to(args.device), args.kind, settings, checkpoint=checkpoint
    )
    save_decoder(args.output, network, record, losses=losses)
    checkpoint.remove()


if __name__ == "__main__":
    main()
