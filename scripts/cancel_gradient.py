"""Gradient canceling in feature space: poisoned features that pull the head's gradient at the target towards zero."""

from pathlib import Path

from featpoison import store
from featpoison.attacks.base_rows import choose_initial, poison_count
from featpoison.attacks.gc_feature import GradientCanceling, cancel
from featpoison.downstream.stored import read_target, read_task
from featpoison.programs import program


def main() -> None:
    """Feature cache, target head -> poisoned features."""
    parser = program.parser(__doc__)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--budget", type=float, required=True, help="eps_d: poisons per clean training row")
    parser.add_argument("--seed", type=int, required=True, help="poison seed: which clean rows the poisons start from")
    parser.add_argument("--settings", default="{}", help="JSON of the gradient canceling settings")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    settings = program.settings(GradientCanceling, args.settings)
    record = program.record(args, [args.features, args.target], settings.model_dump() | {"eps_d": args.budget, "seed": args.seed})
    task, (target, G) = read_task(args.features), read_target(args.target)
    base = choose_initial(task.train_labels, poison_count(args.budget, len(task.train)), args.seed)
    labels = task.train_labels[base]
    place = args.device
    found = cancel(
        task.train[base].to(place),
        labels.to(place),
        target.to(place),
        G.to(place),
        settings,
        largest_norm=task.train.norm(dim=1).max().item(),
    )
    store.write(
        args.output,
        {"features": found.features.cpu().numpy(), "labels": labels.numpy(), "base": base.numpy()},
        record,
        first_loss=found.first_loss,
        last_loss=found.last_loss,
        iterations=found.iterations,
        eps_d=args.budget,
    )


if __name__ == "__main__":
    main()
