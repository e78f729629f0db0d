"""The programs that run an attack: its arguments and inputs follow from what the attack says of itself."""

import argparse
import math
from pathlib import Path
from typing import get_args

from featpoison import store
from featpoison.attacks.attack import Attack, Need, Run
from featpoison.attacks.choices import Choice, Makes
from featpoison.common.shards import Shard
from featpoison.programs import chosen, program
from featpoison.records.checkpoints import Checkpoint

HELP = {
    "features": "feature cache",
    "images": "image file of the data set",
    "encoder": "encoder",
    "clean": "clean heads",
    "trajectory": "heads at several stages of training",
    "target": "target head",
    "poisoned": "poisoned features that are to be turned into images",
    "pairs": "poisoned features paired with base images",
    "decoder": "decoder on this encoder: skip or plain",
}


def main(description: str | None, makes: Makes) -> None:
    """Run an attack that makes heads, features, images or noise: its inputs -> its product; resumes after a
    kill."""
    arguments = _parser(description, makes)
    args = program.start(arguments)
    attack, module = _attack(arguments, args.attack)
    if attack.makes != makes:
        arguments.error(f"--attack: {attack.name} makes {attack.makes}, expected one that makes {makes}")
    budget = getattr(args, "eps_d", None)
    if budget is not None and not 0 < budget < math.inf:
        arguments.error(f"--budget: {budget}, expected a positive number of poisons for each clean row")
    if getattr(args, "seed", 0) < 0:
        arguments.error(f"--seed: {args.seed}, expected 0 or more")
    files = _files(arguments, args, attack)
    settings = program.settings(attack.settings, args.settings)
    victim = program.settings(attack.victim, args.victim) if attack.victim else None
    choice = program.settings(Choice, args.choice)
    if choice.method != attack.name:
        arguments.error(f"--choice: of {choice.method}, expected one of {attack.name}")
    try:
        attack.check(choice)
    except ValueError as error:
        arguments.error(f"--choice: {error}")
    values = settings.model_dump() | choice.model_dump(exclude_none=True)
    if attack.by_budget != (getattr(args, "eps_d", None) is not None) and makes == "target":
        arguments.error(f"--budget: expected {'one' if attack.by_budget else 'none'} for {attack.name}")
    own = {"eps_d": getattr(args, "eps_d", None), "poison_seed": getattr(args, "seed", None)}
    values |= {name: value for name, value in own.items() if value is not None}
    values |= {"victim": victim.model_dump()} if victim else {}
    shard = getattr(args, "shard", None)
    values |= {"shard": str(shard)} if shard else {}
    record = program.record(args, files.values(), values, chosen=[module])
    checkpoint = Checkpoint(args.output, record)
    run = Run(
        settings=settings,
        choice=choice,
        files=files,
        device=args.device,
        checkpoint=checkpoint,
        budget=args.eps_d if values.get("eps_d") is not None else float("inf"),
        seed=getattr(args, "seed", 0),
        victim=victim,
        shard=shard or Shard(),
        devices=max(getattr(args, "devices", 1), 1),
    )
    made = attack.run(run)
    budget = {"eps_d": args.eps_d} if values.get("eps_d") is not None else {}
    store.write(args.output, made.arrays, record, **budget, **made.facts)
    checkpoint.remove()


def _parser(description: str | None, makes: Makes) -> argparse.ArgumentParser:
    result = program.parser(description)
    result.add_argument("--attack", required=True, help="name of a file in featpoison/attacks/, - for _")
    for need in get_args(Need):
        result.add_argument(f"--{need}", type=Path, help=HELP[need])
    result.add_argument("--settings", default="{}", help="JSON of the attack's settings")
    result.add_argument(
        "--choice", required=True, help="JSON of method, set, beta and target, as the row has them"
    )
    result.add_argument(
        "--victim", default="{}", help="JSON of the settings of the victim that the attack follows"
    )
    if makes != "target":
        result.add_argument("--seed", type=int, required=True, help="poison seed")
    if makes != "noise":
        text = "eps_d: poisons for each clean training row"
        needed = makes != "target"  # some target heads depend on it
        result.add_argument("--budget", dest="eps_d", type=float, required=needed, help=text)
    if makes == "images":
        result.add_argument("--shard", type=Shard.parse, help="which shard of how many, as 2-of-7")
    if makes == "noise":
        result.add_argument(
            "--devices", type=int, default=1, help="GPUs that share the work; 0: no more than one"
        )
    result.add_argument("output", type=Path)
    return result


def _attack(arguments: argparse.ArgumentParser, name: str) -> tuple[Attack, Path]:
    """The attack of a name, and its module; a usage error where there is none."""
    try:
        return chosen.load("attacks", "ATTACK", name)
    except ValueError as error:
        arguments.error(f"--attack: {error}")


def _files(arguments: argparse.ArgumentParser, args: argparse.Namespace, attack: Attack) -> dict[str, Path]:
    """The files that the attack needs, by need; a usage error where one is missing or has nothing to do
    there."""
    given = {need: path for need in get_args(Need) if (path := getattr(args, need)) is not None}
    for need in attack.needs:
        if need not in given:
            arguments.error(f"--{need} is missing, expected for {attack.name}")
    for need in given:
        if need not in attack.needs:
            arguments.error(
                f"--{need}: {attack.name} does not read it, expected only --{' --'.join(attack.needs)}"
            )
    for need in ("pairs", "poisoned"):
        if need in given and (made_for := store.read_attribute(given[need], "eps_d")) != args.eps_d:
            arguments.error(f"--budget: {args.eps_d:g}, expected the {made_for:g} of {given[need]}")
    shard = getattr(args, "shard", None)
    for need in ("pairs", "poisoned"):
        if shard and need in given and shard.count > (rows := store.lengths(given[need]).get("labels", 0)):
            text = f"{rows} poisons of {given[need]} over {shard.count} jobs"
            arguments.error(f"--shard: {text}, expected at most a job for each: lower 'shards'")
    if shard and not attack.shardable:
        arguments.error(f"--shard: the rows of {attack.name} depend on each other, expected none")
    if getattr(args, "devices", 1) < 0:
        arguments.error(f"--devices: {args.devices}, expected 0 or more")
    return given
