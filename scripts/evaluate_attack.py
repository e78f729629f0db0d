"""Retrain both victims on clean plus poisoned features, for all poison seeds of one attack and budget together."""

from pathlib import Path

from featpoison import program, store
from featpoison.evaluation import Victims, attack_facts, retrain
from featpoison.products import read_mixture, read_target, read_task


def main() -> None:
    """Feature cache, target head, poisons of each seed -> retrained heads, accuracies, facts."""
    parser = program.parser(__doc__)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--poisons", type=Path, nargs="+", required=True, help="poison files, one per poison seed")
    parser.add_argument("--settings", default="{}", help="JSON of the victims' settings")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    victims = program.settings(Victims, args.settings)
    record = program.record(args, [args.features, args.target, *args.poisons], victims.model_dump())
    task, (target, G) = read_task(args.features), read_target(args.target)
    mixture = read_mixture(task, args.poisons)
    arrays = retrain(task, mixture, victims, args.device) | attack_facts(task, mixture, target, G)
    facts = store.read_attributes(args.target)
    store.write(args.output, arrays, record, seeds=victims.seeds, tau=facts["tau"], eps_d=store.read_attributes(args.poisons[0])["eps_d"])


if __name__ == "__main__":
    main()
