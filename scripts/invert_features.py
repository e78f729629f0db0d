"""Decoder inversion: images from poisoned features and the images that these were initialised with, without optimisation."""

from pathlib import Path

import torch
from featpoison import store
from featpoison.attacks.decoder_inversion import invert
from featpoison.encoders.decoder import load_decoder
from featpoison.encoders.encoder import load_encoder
from featpoison.encoders.features import extract, to_pixels
from featpoison.programs import program


def main() -> None:
    """Images, encoder, decoder, poisoned features -> poison images with their features."""
    parser = program.parser(__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--decoder", type=Path, required=True, help="a decoder on the frozen encoder: skip or plain")
    parser.add_argument("--features-of-poisons", type=Path, required=True, help="poisoned features, with the rows of the images they start from")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    record = program.record(args, [args.images, args.encoder, args.decoder, args.features_of_poisons], {})
    poisoned = store.read(args.features_of_poisons)
    zeta = torch.from_numpy(poisoned["features"])
    base = to_pixels(store.read(args.images, "train_images", rows=poisoned["base"])["train_images"])
    encoder = load_encoder(args.encoder).to(args.device)
    images = invert(zeta, base, load_decoder(args.decoder, encoder))
    features = extract(images, encoder)
    arrays = {
        "images": images.numpy(),
        "features": features.numpy(),
        "labels": poisoned["labels"],
        "base": poisoned["base"],
        "first_distance": _distance(extract(base, encoder), zeta).numpy(),
        "distance": _distance(features, zeta).numpy(),
    }
    store.write(args.output, arrays, record, eps_d=store.read_attributes(args.features_of_poisons)["eps_d"])


def _distance(features: torch.Tensor, zeta: torch.Tensor) -> torch.Tensor:
    """||f - zeta||^2 of each row, float64 (n,)."""
    return (features.double() - zeta.double()).square().sum(1)


if __name__ == "__main__":
    main()
