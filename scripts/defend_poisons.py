"""Let a defence that removes poisons alone look at them before training, and keep what passes it.

All other defences are run by `evaluate_defence.py`.
"""

from pathlib import Path
from typing import get_args

from featpoison import store
from featpoison.defences.defence import HELP, Defending, Need
from featpoison.downstream.poisons import read_poisons
from featpoison.downstream.task import read_task
from featpoison.programs import chosen, program


def main() -> None:
    """Poisons, and what the defence reads beside them -> the poisons that it lets pass, with how many it
    removed."""
    parser = program.parser(__doc__)
    parser.add_argument("--defence", required=True, help="name of a file in featpoison/defences/, - for _")
    parser.add_argument("--features", type=Path, required=True, help="feature cache")
    parser.add_argument("--poisons", type=Path, required=True, help="poison file")
    for need in get_args(Need):
        parser.add_argument(f"--{need}", type=Path, help=HELP[need])
    parser.add_argument("--settings", default="{}", help="JSON of the defence's settings")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    try:
        defence, module = chosen.load("defences", "DEFENCE", args.defence)
    except ValueError as error:
        parser.error(f"--defence: {error}")
    if not defence.poisons_alone:
        parser.error(f"--defence: {defence.name}, expected one that removes poisons alone")
    files = {need: path for need in get_args(Need) if (path := getattr(args, need)) is not None}
    if set(files) != set(defence.needs):
        parser.error(
            f"{defence.name} reads {sorted(defence.needs)} beside features and poisons, given are "
            f"{sorted(files)}"
        )
    settings = program.settings(defence.settings, args.settings)
    record = program.record(
        args,
        [args.features, *files.values(), args.poisons],
        settings.model_dump() | {"defence": defence.name},
        chosen=[module],
    )
    poisons, facts = store.read(args.poisons), store.read_attributes(args.poisons)
    task = read_task(args.features)
    found = defence.run(Defending(settings, task, read_poisons(args.poisons), files, device=args.device))
    kept = (found.rows[found.rows >= len(task.train)] - len(task.train)).numpy()
    removed = len(poisons["labels"]) - len(kept)
    arrays = {name: array[kept] for name, array in poisons.items()}
    store.write(args.output, arrays, record, **facts, **found.facts, removed=removed)


if __name__ == "__main__":
    main()
