"""Measure what an encoder, and the clean heads on it, make of the targets of an attack on pre-training.

The encoder may be the poisoned one, one that was made from it, or a clean one for comparison.
"""

from pathlib import Path

import numpy as np
import torch
from featpoison import store
from featpoison.attacks.cross_pairs import Exposure, expected_by_image
from featpoison.downstream.target_measures import VICTIMS, TargetInputs, measure
from featpoison.downstream.task import read_task
from featpoison.pretraining.poison_files import PoisonFile
from featpoison.programs import program


def main() -> None:
    """Poisoning set, feature cache, clean heads -> measures of its targets in one task."""
    parser = program.parser(__doc__)
    parser.set_defaults(device="cpu")  # a few matrix products
    parser.add_argument("--poisons", type=Path, required=True, help="poisoning set that has the targets")
    parser.add_argument("--task", required=True, help="name of the downstream data set")
    parser.add_argument("--features", type=Path, required=True, help="its features under the encoder")
    parser.add_argument("--heads", type=Path, required=True, help="clean heads on these features")
    parser.add_argument("--exposure", help="JSON of what the encoder saw of the poisons; absent: nothing")
    parser.add_argument("--seen-images", type=Path, help="with --exposure: clean images that it saw")
    parser.add_argument("--seen-poisons", type=Path, help="with --exposure: poisoning set that it saw")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    if not bool(args.exposure) == bool(args.seen_images) == bool(args.seen_poisons):
        parser.error("--exposure, --seen-images and --seen-poisons: expected all of them or none")
    seen = program.settings(Exposure, args.exposure) if args.exposure else None
    values = {"task": args.task, "exposure": seen.model_dump() if seen else None}
    inputs = [args.poisons, args.features, args.heads, args.seen_images, args.seen_poisons]
    record = program.record(args, dict.fromkeys(path for path in inputs if path), values)
    poisons = PoisonFile(args.poisons)
    if args.task not in poisons.tasks:
        parser.error(f"--task: {args.task!r}, expected one of {', '.join(poisons.tasks)}")
    place = poisons.tasks.index(args.task)
    own = [(row, label) for task, row, label in poisons.targets() if task == place]
    rows, labels = np.array(own, np.int64).T
    arrays = {"target": rows, "label": labels, "cross_pairs": np.zeros(len(own))}
    if seen:
        clean = store.lengths(args.seen_images)["train_images"]
        expected, trained = expected_by_image(args.seen_poisons, clean, seen), PoisonFile(args.seen_poisons)
        arrays["cross_pairs"] = np.array([expected[trained.rows_of(place, *one)].sum() for one in own])
    task = read_task(args.features)
    stored = store.read(args.heads, *(f"{name}_omega" for name in VICTIMS))
    heads = {
        "sgd100": torch.from_numpy(stored["sgd100_omega"][0]),  # (V, C, d+1)
        "converged": torch.from_numpy(stored["converged_omega"]),  # (1, C, d+1)
    }
    targets = TargetInputs(torch.from_numpy(rows.copy()), torch.from_numpy(labels.copy()))
    try:
        arrays |= measure(task, heads, targets)
    except ValueError as error:
        raise SystemExit(f"{args.features}: {error}") from None
    arrays["test_labels"] = task.test_labels.numpy()
    store.write(args.output, arrays, record, classes=task.classes)


if __name__ == "__main__":
    main()
