"""Measure how long features of real images are: quantiles of the clean training features' norms, and the
norms that an ascent on valid images reaches.

All norms are in units of the mean clean one, which the file holds as `mean_norm`. `clean_norms` (7,) are the
quantiles at the shares `shares` (7,). `images` (k, 3, h, w), uint8, are the images that the ascent found, and
`norms` (k,) the norms of their features. `base` (k,) are the rows of the training set that it started from,
and `first_norms` (k,) the norms there.
"""

from pathlib import Path

import numpy as np
from featpoison import store
from featpoison.attacks.longest_features import (
    SHARES,
    LongestFeatures,
    chosen_rows,
    lengthen,
    norm_quantiles,
)
from featpoison.common.pixels import to_8bit
from featpoison.datasets.stored import training_pixels
from featpoison.downstream.task import read_task
from featpoison.encoders.encoder import load_encoder
from featpoison.programs import program
from featpoison.records.checkpoints import Checkpoint


def main() -> None:
    """Images, encoder, feature cache -> norms and the longest images found; resumes after a kill."""
    parser = program.parser(__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--settings", default="{}", help="JSON of the ascent's settings")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    settings = program.settings(LongestFeatures, args.settings)
    record = program.record(args, [args.images, args.encoder, args.features], settings.model_dump())
    checkpoint = Checkpoint(args.output, record)
    features = read_task(args.features).train
    mean = features.double().norm(dim=1).mean()
    rows = chosen_rows(len(features), settings)
    pixels = training_pixels(args.images, rows).to(args.device)
    found = lengthen(pixels, load_encoder(args.encoder).to(args.device), settings, checkpoint=checkpoint)
    arrays = {
        "shares": SHARES,
        "clean_norms": norm_quantiles(features) / mean,
        "images": to_8bit(found.images),
        "norms": found.norms / mean,
        "first_norms": found.first_norms / mean,
        "base": rows,
    }
    arrays = {name: np.asarray(values) for name, values in arrays.items()}
    store.write(args.output, arrays, record, mean_norm=mean.item())
    checkpoint.remove()


if __name__ == "__main__":
    main()
