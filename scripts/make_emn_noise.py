"""EMN: error-minimising noise for the whole training set, or for a balanced part of it; resumes after its last finished round."""

from pathlib import Path
from typing import get_args

import torch
from featpoison import store
from featpoison.attacks.emn import EMN, Variant, balanced_rows, perturb
from featpoison.encoders.encoder import load_encoder
from featpoison.encoders.features import to_pixels
from featpoison.programs import program
from featpoison.records.checkpoints import Checkpoint


def main() -> None:
    """Images, encoder -> noise of each training image, labels, rows, training error after each round."""
    parser = program.parser(__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True, help="pre-trained encoder; `original` takes only its architecture")
    parser.add_argument("--variant", choices=get_args(Variant), required=True)
    parser.add_argument("--seed", type=int, required=True, help="initial weights, order of rows, augmentation")
    parser.add_argument("--settings", default="{}", help="JSON of the EMN settings")
    parser.add_argument("--shards", type=int, default=1, help="GPUs that share the noise steps; 0: no more than one")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    if args.shards < 0:
        parser.error(f"--shards: {args.shards}, expected 0 or more")
    settings = program.settings(EMN, args.settings)
    record = program.record(args, [args.images, args.encoder], settings.model_dump() | {"variant": args.variant, "seed": args.seed})
    labels = store.read(args.images, "train_labels")["train_labels"]
    base = balanced_rows(torch.from_numpy(labels), settings.images_per_class).numpy()
    labels = labels[base]
    checkpoint = Checkpoint(args.output, record)
    found = perturb(
        to_pixels(store.read(args.images, "train_images", rows=base)["train_images"]),
        torch.from_numpy(labels),
        load_encoder(args.encoder).to(args.device),
        settings,
        variant=args.variant,
        classes=len(store.read_attributes(args.images)["classes"]),
        seed=args.seed,
        checkpoint=checkpoint,
        shards=max(args.shards, 1),
    )
    arrays = {"noise": found.noise.numpy(), "labels": labels, "base": base, "error": torch.tensor(found.errors, dtype=torch.float64).numpy()}
    facts = {"by_criterion": found.by_criterion, "radius": settings.radius, "variant": args.variant, "seed": args.seed}
    store.write(args.output, arrays, record, **facts)
    checkpoint.remove()


if __name__ == "__main__":
    main()
