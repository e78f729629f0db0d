"""TGDA-input: move images up the total derivative of a held-out loss while a simulated head descends; resumes after a kill."""

import math
from pathlib import Path

from featpoison.attacks import base_images
from featpoison.attacks.input_space import optimise
from featpoison.attacks.tgda_input import TGDAInput, TotalGradient
from featpoison.downstream.stored import read_clean_head, read_task
from featpoison.programs import program
from featpoison.records.checkpoints import Checkpoint


def main() -> None:
    """Images, encoder, feature cache, clean heads -> poison images."""
    parser = base_images.parser(__doc__)
    parser.add_argument("--clean", type=Path, required=True, help="clean heads: where the simulated head starts")
    args = program.start(parser)
    settings = program.settings(TGDAInput, args.settings)
    inputs = [args.images, args.encoder, args.features, args.clean]
    record = program.record(args, inputs, settings.model_dump() | {"eps_d": args.budget, "seed": args.seed})
    task = read_task(args.features)
    start = base_images.random_start(task, args)
    clean = task.train.to(args.device), task.train_labels.to(args.device)
    objective = TotalGradient(clean, (start.features, start.labels), read_clean_head(args.clean).to(args.device), settings)
    found = optimise(
        start.images,
        objective,
        settings,
        pull_back=base_images.through(args.encoder, settings, args.device),
        within=base_images.allowed(settings, args.images),
        threshold=-math.inf,
        checkpoint=(checkpoint := Checkpoint(args.output, record)),
    )
    base_images.write_poisons(args, start, found, record, settings.batch_size, worst_solver_residual=objective.worst_residual)
    checkpoint.remove()


if __name__ == "__main__":
    main()
