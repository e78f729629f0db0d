"""Make images that poison the pre-training of an encoder, for chosen targets of downstream tasks.

Targets and references are images of downstream data sets, each given as NAME=FILE; the name is that of the
attack's settings.
"""

from pathlib import Path

from featpoison import store
from featpoison.attacks.pretraining_attack import PretrainingRun
from featpoison.programs import chosen, program
from featpoison.programs.named import add_downstream, downstream_of


def main() -> None:
    """Images of pre-training and of downstream tasks -> poisoning set."""
    parser = program.parser(__doc__)
    parser.add_argument("--attack", required=True, help="name of a file in featpoison/attacks/, - for _")
    parser.add_argument("--images", type=Path, required=True, help="image file of the pre-training set")
    add_downstream(parser)
    parser.add_argument("--settings", required=True, help="JSON of the attack's settings, with its targets")
    parser.add_argument("--rate", type=float, required=True, help="poisons for each pre-training image")
    parser.add_argument("--seed", type=int, required=True, help="poison seed")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    try:
        attack, module = chosen.load("attacks", "PRETRAINING_ATTACK", args.attack)
    except ValueError as error:
        parser.error(f"--attack: {error}")
    downstream = downstream_of(parser, args)
    settings = program.settings(attack.settings, args.settings)
    values = settings.model_dump() | {"attack": attack.name, "rate": args.rate, "poison_seed": args.seed}
    inputs = dict.fromkeys([args.images, *downstream.values()])  # the same file may serve for both
    record = program.record(args, inputs, values, chosen=[module])
    run = PretrainingRun(settings, args.images, downstream, args.rate, args.seed)
    try:
        made = attack.run(run)
    except ValueError as error:
        raise SystemExit(f"{attack.name}: {error}") from None
    store.write(args.output, made.arrays, record, **made.facts)


if __name__ == "__main__":
    main()
