"""Take the encoder after one epoch out of the snapshots of a pre-training: one that stopped early."""

from pathlib import Path

import torch
from featpoison.encoders.encoder import save_encoder
from featpoison.encoders.trunk import EncoderError
from featpoison.pretraining.snapshots import load_snapshot
from featpoison.programs import program


def main() -> None:
    """Snapshots -> encoder."""
    parser = program.parser(__doc__)
    parser.set_defaults(device="cpu")
    parser.add_argument("--snapshots", type=Path, required=True, help="what pretrain_encoder.py kept")
    parser.add_argument("--epoch", type=int, required=True, help="the epoch, counted from 1")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    record = program.record(args, [args.snapshots], {"epoch": args.epoch})
    try:
        encoder, losses = load_snapshot(args.snapshots, args.epoch)
    except EncoderError as error:
        raise SystemExit(str(error)) from None
    save_encoder(args.output, encoder, record, dtype=torch.bfloat16, losses=losses)


if __name__ == "__main__":
    main()
