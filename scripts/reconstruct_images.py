"""What decoders make of the test images: the first reconstructions, and the mean reconstruction errors over
all of them."""

from pathlib import Path

import torch
from featpoison import store
from featpoison.attacks.decoder_inversion import DecoderInversion, reconstruct, reconstruction_errors
from featpoison.common.pixels import to_pixels
from featpoison.encoders.decoder import load_decoder
from featpoison.encoders.encoder import load_encoder
from featpoison.programs import program


def main() -> None:
    """Images, encoder, decoders -> the first test images and their reconstructions by each decoder; errors
    over the whole test set."""
    parser = program.parser(__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument(
        "--decoders", type=Path, nargs="+", required=True, help="decoders of this encoder, one of each kind"
    )
    parser.add_argument("--count", type=int, default=10, help="images to keep (default 10)")
    parser.add_argument(
        "--settings", default="{}", help="JSON of the decoder inversion settings, for the measure"
    )
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    settings = program.settings(DecoderInversion, args.settings)
    measure = {"similarity": settings.similarity.model_dump(), "count": args.count}
    record = program.record(args, [args.images, args.encoder, *args.decoders], measure)
    images = torch.from_numpy(store.read(args.images, "test_images")["test_images"])
    encoder = load_encoder(args.encoder).to(args.device)
    shown, errors = {"original": to_pixels(images[: args.count]).numpy()}, {}
    for path in args.decoders:
        network = load_decoder(path, encoder)
        if network.kind in shown:
            raise SystemExit(f"{path}: a second decoder of kind {network.kind}; expected one of each kind")
        found = reconstruct(images, network)
        distance, similarity = reconstruction_errors(found, to_pixels(images), settings)
        shown[network.kind] = found[: args.count].numpy()
        errors[network.kind] = {
            "l1": distance.double().mean().item(),
            "ms_ssim": similarity.double().mean().item(),
        }
    store.write(args.output, shown, record, errors=errors, test_images=len(images))


if __name__ == "__main__":
    main()
