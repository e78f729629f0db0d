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
from featpoison.programs import program


def main() -> None:
    """Poisoning set, feature cache, clean heads -> measures of its targets in one task."""
    parser = program.parser(__doc__)
    parser.set_defaults(device="cpu")  # a few matrix products
    parser.add_argument("--poisons", type=Path, required=True, help="poisoning set that has the targets")
    parser.add_argument("--task", required=True, help="name of the downstream data set")
    parser.add_argument("--features", type=Path, required=True, help="its features under the encoder")
    parser.add_argument("--heads", type=Path, required=True, help="clean heads on these features")
    parser.add_argument(
        "--images", type=Path, required=True, help="clean images of the poisoned pre-training"
    )
    parser.add_argument("--exposure", help="JSON of what the encoder saw of the poisons; absent: nothing")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    seen = program.settings(Exposure, args.exposure) if args.exposure else None
    values = {"task": args.task, "exposure": seen.model_dump() if seen else None}
    inputs = [args.poisons, args.features, args.heads, args.images]
    record = program.record(args, dict.fromkeys(inputs), values)
    facts = store.read_attributes(args.poisons)
    if args.task not in facts["tasks"]:
        parser.error(f"--task: {args.task!r}, expected one of {', '.join(facts['tasks'])}")
    columns = store.read(args.poisons, "task", "target", "label")
    own = columns["task"] == facts["tasks"].index(args.task)
    pairs = np.stack([columns["target"][own], columns["label"][own]], 1)
    found, place = np.unique(pairs, axis=0, return_inverse=True)
    clean = store.lengths(args.images)["train_images"]
    cross = expected_by_image(args.poisons, clean, seen)[own] if seen else np.zeros(own.sum())
    arrays = {
        "target": found[:, 0],
        "label": found[:, 1],
        "images": np.bincount(place.ravel(), minlength=len(found)),
        "cross_pairs": np.bincount(place.ravel(), weights=cross, minlength=len(found)),
    }
    task = read_task(args.features)
    stored = store.read(args.heads, *(f"{name}_omega" for name in VICTIMS))
    heads = {
        "sgd100": torch.from_numpy(stored["sgd100_omega"][0]),  # (V, C, d+1)
        "converged": torch.from_numpy(stored["converged_omega"]),  # (1, C, d+1)
    }
    targets = TargetInputs(*(torch.from_numpy(arrays[name]) for name in ("target", "label")))
    try:
        arrays |= measure(task, heads, targets)
    except ValueError as error:
        raise SystemExit(f"{args.features}: {error}") from None
    arrays["test_labels"] = task.test_labels.numpy()
    store.write(args.output, arrays, record, rate=facts["rate"], classes=task.classes)


if __name__ == "__main__":
    main()
