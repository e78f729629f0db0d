"""Pair every poisoned feature with a clean training feature, the nearest one unless chance is asked for: that
image is the poison's base.

The poison keeps the label of the poisoned feature, since that label is what the feature was made for. Among
clean rows of this label alone, the base image shows what the label says.
"""

from pathlib import Path

from featpoison import store
from featpoison.attacks.pairing import any_clean, nearest_clean, nearest_of_class
from featpoison.downstream.task import read_task
from featpoison.programs import program


def main() -> None:
    """Feature cache, poisoned features -> pairs."""
    import torch

    parser = program.parser(__doc__)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--poisoned", type=Path, required=True, help="poisoned features")
    parser.add_argument(
        "--pairing",
        choices=("all", "within-class", "random"),
        default="all",
        help="the nearest of all clean rows, the nearest of the same label, or any row by chance",
    )
    parser.add_argument("--seed", type=int, help="poison seed, of random rows")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    if (args.seed is not None) != (args.pairing == "random"):
        parser.error(f"--seed: {args.seed}, expected one with --pairing random and with no other")
    values = {"pairing": args.pairing} | ({"poison_seed": args.seed} if args.pairing == "random" else {})
    record = program.record(args, [args.features, args.poisoned], values)
    task = read_task(args.features)
    poisoned = store.read(args.poisoned, "features", "labels")
    zeta, clean = torch.from_numpy(poisoned["features"]), task.train.to(args.device)
    if args.pairing == "random":
        pairs = any_clean(zeta.to(args.device), clean, args.seed)
    elif args.pairing == "within-class":
        labels = torch.from_numpy(poisoned["labels"]).to(args.device)
        pairs = nearest_of_class(zeta.to(args.device), labels, clean, task.train_labels.to(args.device))
    else:
        pairs = nearest_clean(zeta.to(args.device), clean)
    base = pairs.index.cpu()
    arrays = {
        "features": zeta.numpy(),
        "base": base.numpy(),
        "labels": poisoned["labels"],
        "distance": pairs.distance.cpu().numpy(),
    }
    store.write(args.output, arrays, record, eps_d=store.read_attributes(args.poisoned)["eps_d"])


if __name__ == "__main__":
    main()
