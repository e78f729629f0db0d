"""GC-input: move images until the gradient of their features cancels the clean one at the target head; resumes after a kill."""

from pathlib import Path

from featpoison.attacks import base_images
from featpoison.attacks.gc_input import Canceling, GCInput
from featpoison.attacks.input_space import optimise
from featpoison.downstream.stored import read_target, read_task
from featpoison.programs import program
from featpoison.records.checkpoints import Checkpoint


def main() -> None:
    """Images, encoder, feature cache, target head -> poison images."""
    parser = base_images.parser(__doc__)
    parser.add_argument("--target", type=Path, required=True)
    args = program.start(parser)
    settings = program.settings(GCInput, args.settings)
    inputs = [args.images, args.encoder, args.features, args.target]
    record = program.record(args, inputs, settings.model_dump() | {"eps_d": args.budget, "seed": args.seed})
    task, (target, G) = read_task(args.features), read_target(args.target)
    start = base_images.random_start(task, args)
    found = optimise(
        start.images,
        Canceling(start.features, start.labels, target.to(args.device), G.to(args.device), settings.batch_size),
        settings,
        pull_back=base_images.through(args.encoder, settings, args.device),
        within=base_images.allowed(settings, args.images),
        threshold=settings.threshold,
        checkpoint=(checkpoint := Checkpoint(args.output, record)),
    )
    base_images.write_poisons(args, start, found, record, settings.batch_size)
    checkpoint.remove()


if __name__ == "__main__":
    main()
