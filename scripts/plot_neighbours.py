"""Draw the training images that are nearest to targets of an attack on pre-training, by the cosine of their
features, on an encoder before and on one after the attack."""

from functools import partial
from pathlib import Path

import numpy as np
from featpoison import store
from featpoison.datasets.stored import class_names
from featpoison.downstream.nearest import nearest
from featpoison.pretraining.target_files import TargetFile
from featpoison.programs import program
from featpoison.programs.output import write
from featpoison.render import style
from featpoison.render.neighbours import Neighbours, Target, draw


def main() -> None:
    """Images, two feature caches, measures of the targets on both encoders -> picture."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--images", type=Path, required=True, help="images of the downstream data set")
    parser.add_argument("--before", type=Path, required=True, help="its features under the clean encoder")
    parser.add_argument("--after", type=Path, required=True, help="its features under the poisoned encoder")
    for name in ("before", "after"):
        parser.add_argument(
            f"--measures-{name}", type=Path, required=True, help="measures of its targets on that encoder"
        )
    parser.add_argument(
        "--targets", type=Path, help="file of the targets, where they are in one of their own"
    )
    parser.add_argument("--count", type=int, default=8, help="neighbours on each encoder (default 8)")
    parser.add_argument("--rows", type=int, default=6, help="targets that are shown (default 6)")
    parser.add_argument("output", type=Path, nargs="+", help="the picture, one path per form (.pdf, .png)")
    args = program.start(parser)
    inputs = [args.images, args.before, args.after, args.measures_before, args.measures_after, args.targets]
    record = program.record(args, [path for path in inputs if path], {"count": args.count, "rows": args.rows})
    measures = store.read(args.measures_after, "target", "label", "test_labels")
    rows, wanted = (measures[name][: args.rows] for name in ("target", "label"))
    try:
        found = [
            _neighbours(features, measured, args.images, args.rows, args.count)
            for features, measured in (
                (args.before, args.measures_before),
                (args.after, args.measures_after),
            )
        ]
    except ValueError as error:
        raise SystemExit(f"{args.output[0]}: {error}") from None
    names = class_names(args.images)
    pictures = (
        TargetFile(args.targets).images[: args.rows]
        if args.targets
        else store.read(args.images, "test_images", rows=rows)["test_images"]
    )
    labels = measures["test_labels"][rows].tolist()
    targets = [
        Target(picture, label, goal, f"{names[label]} to {names[goal]} ", before, after)
        for picture, label, goal, before, after in zip(pictures, labels, wanted.tolist(), *found, strict=True)
    ]
    picture = draw(targets, args.before.stem, args.after.stem)
    write(args.output, record, partial(style.save, picture))


def _neighbours(features: Path, measures: Path, images: Path, rows: int, count: int) -> list[Neighbours]:
    """Of each of the first `rows` targets the nearest training images."""
    chosen = store.read(measures, "features", rows=slice(0, rows))["features"]
    found = []
    for near in nearest(store.read(features, "train")["train"], chosen, count):
        order = np.sort(near)
        own = store.read(images, "train_images", "train_labels", rows=order)
        back = np.searchsorted(order, near)
        found.append(Neighbours(own["train_images"][back], own["train_labels"][back]))
    return found


if __name__ == "__main__":
    main()
