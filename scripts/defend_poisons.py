"""Let a defence look at poisons before training, and keep what passes it."""

from pathlib import Path
from typing import get_args

from featpoison import store
from featpoison.defences.defence import Defending, Need
from featpoison.programs import chosen, program


def main() -> None:
    """Poisons, and what the defence reads beside them -> the poisons that it lets pass, with how many it
    removed."""
    parser = program.parser(__doc__)
    parser.add_argument("--defence", required=True, help="name of a file in featpoison/defences/, - for _")
    parser.add_argument("--poisons", type=Path, required=True, help="poison file")
    for need in get_args(Need):
        parser.add_argument(
            f"--{need}", type=Path, help="clean images" if need == "images" else "feature cache"
        )
    parser.add_argument("--settings", default="{}", help="JSON of the defence's settings")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    try:
        defence, module = chosen.load("defences", "DEFENCE", args.defence)
    except ValueError as error:
        parser.error(f"--defence: {error}")
    files = {need: path for need in get_args(Need) if (path := getattr(args, need)) is not None}
    if set(files) != set(defence.needs):
        parser.error(
            f"{defence.name} reads {sorted(defence.needs)} beside the poisons, given are {sorted(files)}"
        )
    settings = program.settings(defence.settings, args.settings)
    record = program.record(
        args,
        [*files.values(), args.poisons],
        settings.model_dump() | {"defence": defence.name},
        chosen=[module],
    )
    poisons, facts = store.read(args.poisons), store.read_attributes(args.poisons)
    kept = defence.run(Defending(settings=settings, poisons=poisons, files=files))
    removed = len(poisons["labels"]) - len(kept.rows)
    arrays = {name: array[kept.rows] for name, array in poisons.items()}
    store.write(args.output, arrays, record, **facts, **kept.facts, removed=removed)


if __name__ == "__main__":
    main()
