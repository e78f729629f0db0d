"""exact-input: move images along the exact total derivative of the victim that is retrained at every step; resumes after a kill."""

import math
from pathlib import Path

from featpoison import image_poisons, program
from featpoison.attacks.exact_bilevel import Bilevel, ExactInput
from featpoison.attacks.input_space import optimise
from featpoison.checkpoints import Checkpoint
from featpoison.convex import Converged
from featpoison.products import read_base, read_task


def main() -> None:
    """Images, encoder, feature cache (and pairs to start from) -> poison images."""
    parser = image_poisons.parser(__doc__)
    parser.add_argument("--victim", default="{}", help="JSON of the converged victim's settings")
    parser.add_argument("--pairs", type=Path, help="start from these base images, with their labels, instead of a random choice")
    args = program.start(parser)
    settings, victim = program.settings(ExactInput, args.settings), program.settings(Converged, args.victim)
    inputs = [path for path in (args.images, args.encoder, args.features, args.pairs) if path]
    record = program.record(args, inputs, settings.model_dump() | {"victim": victim.model_dump(), "eps_d": args.budget, "seed": args.seed})
    task = read_task(args.features)
    start = image_poisons.start_at(read_base(args.pairs), task, args.images, args.device) if args.pairs else image_poisons.random_start(task, args)
    clean = task.train.to(args.device), task.train_labels.to(args.device)
    found = optimise(
        start.images,
        Bilevel(clean, (start.features, start.labels), victim, classes=task.classes, tolerance=settings.tolerance),
        settings,
        pull_back=image_poisons.through(args.encoder, settings, args.device),
        within=image_poisons.allowed(settings, args.images),
        threshold=-math.inf,
        checkpoint=(checkpoint := Checkpoint(args.output, record)),
    )
    image_poisons.write_poisons(args, start, found, record, settings.batch_size)
    checkpoint.remove()


if __name__ == "__main__":
    main()
