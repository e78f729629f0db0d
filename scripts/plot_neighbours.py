"""Draw the training images that are nearest to targets of an attack on pre-training, by the cosine of their
features, on an encoder before and on one after the attack."""

from functools import partial
from pathlib import Path

import numpy as np
from featpoison import store
from featpoison.datasets.stored import class_names
from featpoison.downstream.nearest import nearest
from featpoison.pretraining.poison_files import PoisonFile
from featpoison.programs import program
from featpoison.programs.output import write
from featpoison.render import style
from featpoison.render.neighbours import Neighbours, Target, draw


def main() -> None:
    """Poisoning set, images, two feature caches -> picture."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--poisons", type=Path, required=True, help="poisoning set that has the targets")
    parser.add_argument("--task", required=True, help="name of the downstream data set")
    parser.add_argument("--images", type=Path, required=True, help="its images")
    parser.add_argument("--before", type=Path, required=True, help="its features under the clean encoder")
    parser.add_argument("--after", type=Path, required=True, help="its features under the poisoned encoder")
    parser.add_argument("--count", type=int, default=8, help="neighbours on each encoder (default 8)")
    parser.add_argument("--rows", type=int, default=6, help="targets that are shown (default 6)")
    parser.add_argument("output", type=Path, nargs="+", help="the picture, one path per form (.pdf, .png)")
    args = program.start(parser)
    values = {"task": args.task, "count": args.count, "rows": args.rows}
    record = program.record(args, [args.poisons, args.images, args.before, args.after], values)
    poisons = PoisonFile(args.poisons)
    try:
        place = poisons.place_of(args.task)
        aims = [(row, label) for task, row, label in poisons.targets() if task == place][: args.rows]
        rows = np.array([row for row, _ in aims])
        found = [_neighbours(path, args.images, rows, args.count) for path in (args.before, args.after)]
    except ValueError as error:
        raise SystemExit(f"{args.poisons}: {error}") from None
    names = class_names(args.images)
    targets = []
    for (row, wanted), before, after in zip(aims, *found, strict=True):
        own = store.read(args.images, "test_images", "test_labels", rows=np.array([row]))
        label = int(own["test_labels"][0])
        words = f"{names[label]} to {names[wanted]} "
        targets.append(Target(own["test_images"][0], label, wanted, words, before, after))
    picture = draw(targets, args.before.stem, args.after.stem)
    write(args.output, record, partial(style.save, picture))


def _neighbours(features: Path, images: Path, rows: np.ndarray, count: int) -> list[Neighbours]:
    """Of each test row the nearest training images."""
    arrays = store.read(features, "train", "test")
    found = []
    for near in nearest(arrays["train"], arrays["test"][rows], count):
        order = np.sort(near)
        own = store.read(images, "train_images", "train_labels", rows=order)
        back = np.searchsorted(order, near)
        found.append(Neighbours(own["train_images"][back], own["train_labels"][back]))
    return found


if __name__ == "__main__":
    main()
