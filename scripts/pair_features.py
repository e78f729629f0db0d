"""Pair every poisoned feature with its nearest clean training feature: that image is the poison's base.

The poison keeps the label of the poisoned feature, since that label is what the feature was made for. With
--within-class only clean rows of this label count, so that the base image shows what the label says.
"""

from pathlib import Path

from featpoison import store
from featpoison.attacks.pairing import nearest_clean, nearest_of_class
from featpoison.downstream.task import read_task
from featpoison.programs import program


def main() -> None:
    """Feature cache, poisoned features -> pairs."""
    import torch

    parser = program.parser(__doc__)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--poisoned", type=Path, required=True, help="poisoned features")
    parser.add_argument(
        "--within-class", action="store_true", help="search only among clean rows of the same label"
    )
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    record = program.record(args, [args.features, args.poisoned], {"within_class": args.within_class})
    task = read_task(args.features)
    poisoned = store.read(args.poisoned, "features", "labels")
    zeta, clean = torch.from_numpy(poisoned["features"]), task.train.to(args.device)
    if args.within_class:
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
