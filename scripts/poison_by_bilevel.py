"""exact-input: move images along the exact total derivative of the victim that is retrained at every step; resumes after a kill."""

import math
from pathlib import Path

from featpoison.attacks import base_images
from featpoison.attacks.exact_bilevel import Bilevel, ExactInput
from featpoison.attacks.input_space import optimise
from featpoison.downstream.stored import read_base, read_task
from featpoison.programs import program
from featpoison.records.checkpoints import Checkpoint
from featpoison.solvers.newton import Converged


def main() -> None:
    """Images, encoder, feature cache (and pairs to start from) -> poison images."""
    parser = base_images.parser(__doc__)
    parser.add_argument("--victim", default="{}", help="JSON of the converged victim's settings")
    parser.add_argument("--pairs", type=Path, help="start from these base images, with their labels, instead of a random choice")
    args = program.start(parser)
    settings, victim = program.settings(ExactInput, args.settings), program.settings(Converged, args.victim)
    inputs = [path for path in (args.images, args.encoder, args.features, args.pairs) if path]
    record = program.record(args, inputs, settings.model_dump() | {"victim": victim.model_dump(), "eps_d": args.budget, "seed": args.seed})
    task = read_task(args.features)
    start = base_images.start_at(read_base(args.pairs), task, args.images, args.device) if args.pairs else base_images.random_start(task, args)
    clean = task.train.to(args.device), task.train_labels.to(args.device)
    found = optimise(
        start.images,
        Bilevel(clean, (start.features, start.labels), victim, classes=task.classes, tolerance=settings.tolerance),
        settings,
        pull_back=base_images.through(args.encoder, settings, args.device),
        within=base_images.allowed(settings, args.images),
        threshold=-math.inf,
        checkpoint=(checkpoint := Checkpoint(args.output, record)),
    )
    base_images.write_poisons(args, start, found, record, settings.batch_size)
    checkpoint.remove()


if __name__ == "__main__":
    main()
