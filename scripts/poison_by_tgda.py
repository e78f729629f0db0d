"""TGDA-input: move images up the total derivative of a held-out loss while a simulated head descends; resumes after a kill."""

import math
from pathlib import Path

from featpoison import image_poisons, program
from featpoison.attacks.input_space import optimise
from featpoison.attacks.tgda import TGDAInput, TotalGradient
from featpoison.checkpoints import Checkpoint
from featpoison.products import read_clean_head, read_task


def main() -> None:
    """Images, encoder, feature cache, clean heads -> poison images."""
    parser = image_poisons.parser(__doc__)
    parser.add_argument("--clean", type=Path, required=True, help="clean heads: where the simulated head starts")
    args = program.start(parser)
    settings = program.settings(TGDAInput, args.settings)
    inputs = [args.images, args.encoder, args.features, args.clean]
    record = program.record(args, inputs, settings.model_dump() | {"eps_d": args.budget, "seed": args.seed})
    task = read_task(args.features)
    start = image_poisons.random_start(task, args)
    clean = task.train.to(args.device), task.train_labels.to(args.device)
    objective = TotalGradient(clean, (start.features, start.labels), read_clean_head(args.clean).to(args.device), settings)
    found = optimise(
        start.images,
        objective,
        settings,
        pull_back=image_poisons.through(args.encoder, settings, args.device),
        within=image_poisons.allowed(settings, args.images),
        threshold=-math.inf,
        checkpoint=(checkpoint := Checkpoint(args.output, record)),
    )
    image_poisons.write_poisons(args, start, found, record, settings.batch_size, worst_solver_residual=objective.worst_residual)
    checkpoint.remove()


if __name__ == "__main__":
    main()
