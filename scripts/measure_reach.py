"""Measure what steps of parameter corruption cost from each stage of training, and which of them poisons can
reach."""

from pathlib import Path

from featpoison import store
from featpoison.attacks.target_search import TargetSearch, measure_steps
from featpoison.downstream.task import read_task
from featpoison.downstream.trajectory import read_trajectory
from featpoison.programs import program


def main() -> None:
    """Feature cache, heads at stages of training -> thresholds, errors and accuracies."""
    parser = program.parser(__doc__)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--trajectory", type=Path, required=True)
    parser.add_argument("--settings", default="{}", help="JSON of the target search's settings")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    settings = program.settings(TargetSearch, args.settings)
    record = program.record(args, [args.features, args.trajectory], settings.model_dump())
    heads = read_trajectory(args.trajectory)
    arrays = measure_steps(read_task(args.features), heads, settings.steps)
    arrays |= {"step_size": heads.step_size.numpy(), "epochs": heads.epochs.numpy()}
    store.write(args.output, arrays, record)


if __name__ == "__main__":
    main()
