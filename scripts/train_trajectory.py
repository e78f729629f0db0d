"""Train heads on the clean features at several stages of training, with the gradients of the loss at each."""

from pathlib import Path

from featpoison import store
from featpoison.downstream.task import read_task
from featpoison.downstream.trajectory import Trajectory, train_heads
from featpoison.programs import program


def main() -> None:
    """Feature cache -> heads and gradients."""
    parser = program.parser(__doc__)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--settings", default="{}", help="JSON of the trajectory's settings")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    settings = program.settings(Trajectory, args.settings)
    record = program.record(args, [args.features], settings.model_dump())
    store.write(args.output, train_heads(read_task(args.features), settings).arrays(), record)


if __name__ == "__main__":
    main()
