"""Run a defence on a training set with poisons, of each poison seed, and train both victims on what it
leaves.

Without --poisons the training set is clean: what the defence costs where nobody attacks. --seconds is a file
beside the result, because times do not repeat and results do.
"""

import argparse
import json
import time
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from featpoison import store
from featpoison.defences.defence import HELP, Defence, Defending, Need
from featpoison.defences.retraining import DefenceError, retrain_defended
from featpoison.downstream.poisons import Poisons, read_poisons, with_base_labels
from featpoison.downstream.task import read_task
from featpoison.downstream.victims import Victims
from featpoison.programs import chosen, program
from featpoison.programs.output import write_text
from torch import Tensor


def arguments() -> tuple[argparse.Namespace, Defence, Path]:
    """The command line, checked; the defence that it names, and its module."""
    parser = program.parser(__doc__)
    parser.add_argument("--defence", required=True, help="name of a file in featpoison/defences/, - for _")
    parser.add_argument("--features", type=Path, required=True, help="feature cache")
    parser.add_argument("--poisons", type=Path, nargs="+", default=[], help="poison files, one per seed")
    parser.add_argument(
        "--poison-seeds", type=int, nargs="+", default=[], help="the poison seeds, in the files' order"
    )
    parser.add_argument(
        "--base-labels", action="store_true", help="each poison is given the label of its base image"
    )
    for need in get_args(Need):
        parser.add_argument(f"--{need}", type=Path, help=HELP[need])
    parser.add_argument("--settings", default="{}", help="JSON of the defence's settings")
    parser.add_argument("--victims", default="{}", help="JSON of the victims' settings")
    parser.add_argument("--seconds", type=Path, help="where to write the seconds of each poison seed")
    parser.add_argument("output", type=Path)
    args = program.start(parser, made=("seconds",))
    if len(args.poison_seeds) != len(args.poisons):
        found = f"{len(args.poison_seeds)} seeds"
        parser.error(f"--poison-seeds: {found}, expected one for each of {len(args.poisons)} files")
    try:
        defence, module = chosen.load("defences", "DEFENCE", args.defence)
    except ValueError as error:
        parser.error(f"--defence: {error}")
    given = [need for need in get_args(Need) if getattr(args, need) is not None]
    if set(given) != set(defence.needs):
        parser.error(f"{defence.name} reads {sorted(defence.needs)} beside features, given are {given}")
    return args, defence, module


def main() -> None:
    """Feature cache, poisons of each seed, what the defence reads -> heads, what they get right, what was
    removed."""
    args, defence, module = arguments()
    settings = program.settings(defence.settings, args.settings)
    victims = program.settings(Victims, args.victims)
    files = {need: getattr(args, need) for need in defence.needs}
    values = settings.model_dump() | {"defence": defence.name, "victims": victims.model_dump()}
    values |= {"poison_seeds": args.poison_seeds, "base_labels": args.base_labels}
    record = program.record(args, [args.features, *args.poisons, *files.values()], values, chosen=[module])
    task = read_task(args.features)
    sets = [read_poisons(path) for path in args.poisons]
    if args.base_labels:
        sets = [with_base_labels(one, task) for one in sets]
    nothing = Poisons(task.train[:0], task.train_labels[:0])
    arrays: list[dict[str, np.ndarray]] = []
    facts, seconds, filters = {}, [], False
    for seed, poisons in zip(args.poison_seeds or [0], sets or [nothing], strict=True):
        given = Defending(settings, task, poisons, files, victims, seed, args.device)
        started = time.process_time()
        defended = defence.run(given)
        try:
            found = retrain_defended(given, defended)
        except DefenceError as error:
            raise SystemExit(f"{defence.name}, poison seed {seed}: {error}; no result was written") from None
        seconds.append(time.process_time() - started)
        arrays.append({name: array.numpy() for name, array in found.items()} | counts(given, defended.rows))
        filters |= defended.rows is not None
        facts |= {name: [*facts.get(name, []), value] for name, value in defended.facts.items()}
    joined = {name: np.stack([one[name] for one in arrays]) for name in arrays[0]}
    store.write(args.output, joined, record, seeds=victims.seeds, filters=filters, **facts)
    if args.seconds:
        write_text(args.seconds, record, json.dumps(seconds) + "\n")


def counts(given: Defending, rows: Tensor | None) -> dict[str, np.ndarray]:
    """How many poisons and clean rows there were, and how many of each were removed."""
    clean, poisons = len(given.task.train), len(given.poisons.labels)
    kept = torch.arange(clean + poisons) if rows is None else rows
    left = int((kept < clean).sum())
    found = {"poisons": poisons, "removed_poisons": poisons - (len(kept) - left)}
    found |= {"clean": clean, "removed_clean": clean - left}
    return {name: np.array(value) for name, value in found.items()}


if __name__ == "__main__":
    main()
