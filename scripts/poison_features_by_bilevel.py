"""exact-feature: move features along the exact total derivative of the victim that is retrained at every step; resumes after a kill."""

import math
from pathlib import Path

from featpoison import store
from featpoison.attacks.base_rows import choose_initial, poison_count
from featpoison.attacks.constraints import NormBall
from featpoison.attacks.exact_bilevel import Bilevel, ExactFeature
from featpoison.attacks.input_space import in_feature_space, optimise
from featpoison.downstream.stored import read_task
from featpoison.programs import program
from featpoison.records.checkpoints import Checkpoint
from featpoison.solvers.newton import Converged


def main() -> None:
    """Feature cache -> poisoned features."""
    parser = program.parser(__doc__)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--budget", type=float, required=True, help="eps_d: poisons per clean training row")
    parser.add_argument("--seed", type=int, required=True, help="poison seed: which clean rows the poisons start from")
    parser.add_argument("--settings", default="{}", help="JSON of the attack's settings")
    parser.add_argument("--victim", default="{}", help="JSON of the converged victim's settings")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    settings, victim = program.settings(ExactFeature, args.settings), program.settings(Converged, args.victim)
    values = settings.model_dump() | {"victim": victim.model_dump(), "eps_d": args.budget, "seed": args.seed}
    record = program.record(args, [args.features], values)
    task = read_task(args.features)
    base = choose_initial(task.train_labels, poison_count(args.budget, len(task.train)), args.seed)
    labels = task.train_labels[base]
    clean = task.train.to(args.device), task.train_labels.to(args.device)
    initial = task.train[base].to(args.device)
    found = optimise(
        initial,
        Bilevel(clean, (initial, labels.to(args.device)), victim, classes=task.classes, tolerance=settings.tolerance),
        settings.loop(len(base)),
        pull_back=in_feature_space,
        within=NormBall(settings.norm_cap * task.train.norm(dim=1).mean().item()),
        threshold=-math.inf,
        checkpoint=(checkpoint := Checkpoint(args.output, record)),
    )
    arrays = {"features": found.poisons.cpu().numpy(), "labels": labels.numpy(), "base": base.numpy()}
    store.write(
        args.output,
        arrays,
        record,
        eps_d=args.budget,
        first_value=found.first_value,
        last_value=found.last_value,
        epochs=found.epochs,
    )
    checkpoint.remove()


if __name__ == "__main__":
    main()
