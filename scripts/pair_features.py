"""Pair every poisoned feature with its nearest clean training feature; that image is the poison's base, its label the poison's label."""

from pathlib import Path

from featpoison import program, store
from featpoison.attacks.pairing import nearest_clean
from featpoison.products import read_task


def main() -> None:
    """Feature cache, poisoned features -> pairs."""
    import torch

    parser = program.parser(__doc__)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--poisoned", type=Path, required=True, help="poisoned features")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    record = program.record(args, [args.features, args.poisoned], {})
    task = read_task(args.features)
    zeta = torch.from_numpy(store.read(args.poisoned, "features")["features"])
    pairs = nearest_clean(zeta.to(args.device), task.train.to(args.device))
    base = pairs.index.cpu()
    arrays = {"features": zeta.numpy(), "base": base.numpy(), "labels": task.train_labels[base].numpy(), "distance": pairs.distance.cpu().numpy()}
    store.write(args.output, arrays, record, eps_d=store.read_attributes(args.poisoned)["eps_d"])


if __name__ == "__main__":
    main()
