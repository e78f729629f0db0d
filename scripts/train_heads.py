"""Train the clean heads: sgd100 for every victim seed, and the converged one."""

from pathlib import Path

from featpoison import store
from featpoison.downstream.task import read_task
from featpoison.downstream.victims import Victims, retrain
from featpoison.programs import program
from featpoison.solvers.training_sets import TrainingSets


def main() -> None:
    """Feature cache -> clean heads and their test accuracy."""
    parser = program.parser(__doc__)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--settings", default="{}", help="JSON of the victims' settings")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    victims = program.settings(Victims, args.settings)
    record = program.record(args, [args.features], victims.model_dump())
    task = read_task(args.features)
    arrays = retrain(task, TrainingSets.of_clean(task.train, task.train_labels), victims, args.device)
    store.write(args.output, arrays, record, seeds=victims.seeds)


if __name__ == "__main__":
    main()
