"""Features of all images of a data set as a defence that transforms images lets the encoder see them."""

from pathlib import Path

import numpy as np
import torch
from featpoison import store
from featpoison.common.pixels import to_pixels
from featpoison.defences.image_transformation import BATCH
from featpoison.encoders.encoder import load_encoder
from featpoison.programs import chosen, program


def main() -> None:
    """Images, encoder -> a feature cache of the transformed images."""
    parser = program.parser(__doc__)
    parser.add_argument("--defence", required=True, help="name of a file in featpoison/defences/, - for _")
    parser.add_argument("--images", type=Path, required=True, help="clean images")
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--settings", default="{}", help="JSON of the defence's settings")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    try:
        defence, module = chosen.load("defences", "DEFENCE", args.defence)
    except ValueError as error:
        parser.error(f"--defence: {error}")
    if defence.transform is None:
        parser.error(f"--defence: {defence.name} does not transform images, expected one that does")
    settings = program.settings(defence.settings, args.settings)
    values = settings.model_dump() | {"defence": defence.name}
    record = program.record(args, [args.images, args.encoder], values, chosen=[module])
    encoder = load_encoder(args.encoder).to(args.device)

    @torch.no_grad()
    def seen(images: np.ndarray) -> np.ndarray:
        blocks = (to_pixels(images[i : i + BATCH]).to(args.device) for i in range(0, len(images), BATCH))
        return torch.cat([defence.transform(one, encoder, settings).cpu() for one in blocks]).numpy()

    images, facts = store.read(args.images), store.read_attributes(args.images)
    arrays = {part: seen(images[f"{part}_images"]) for part in ("train", "test")}
    labels = {name: images[name] for name in ("train_labels", "test_labels")}
    store.write(args.output, arrays | labels, record, classes=facts["classes"])


if __name__ == "__main__":
    main()
