"""Draw targets of an attack on pre-training and the images that were made for them."""

from functools import partial
from pathlib import Path

import numpy as np
from featpoison import store
from featpoison.datasets.stored import class_names
from featpoison.pretraining.poison_files import PoisonFile
from featpoison.programs import program
from featpoison.programs.named import add_downstream, downstream_of
from featpoison.programs.output import write
from featpoison.render import style
from featpoison.render.combinations import TargetPictures, draw


def main() -> None:
    """Poisoning set, images of the downstream tasks -> picture."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--poisons", type=Path, required=True, help="poisoning set")
    add_downstream(parser)
    parser.add_argument("--count", type=int, default=8, help="images of a row beside its target (default 8)")
    parser.add_argument("--rows", type=int, default=6, help="targets that are shown (default 6)")
    parser.add_argument("output", type=Path, nargs="+", help="the picture, one path per form (.pdf, .png)")
    args = program.start(parser)
    downstream = downstream_of(parser, args)
    record = program.record(
        args, [args.poisons, *downstream.values()], {"count": args.count, "rows": args.rows}
    )
    poisons = PoisonFile(args.poisons)
    missing = [name for name in poisons.tasks if name not in downstream]
    if missing:
        parser.error(f"--downstream: expected the images of {missing[0]} too")
    shown = []
    for task, row, label in poisons.targets()[: args.rows]:
        path = downstream[poisons.tasks[task]]
        rows = np.array([row])
        arrays = store.read(path, "test_images", "test_labels", rows=rows)
        names = class_names(path)
        pictures = poisons.images(poisons.rows_of(task, row, label)[: args.count])
        shown.append(
            TargetPictures(names[arrays["test_labels"][0]], names[label], arrays["test_images"][0], pictures)
        )
    write(args.output, record, partial(style.save, draw(shown, poisons.attack)))


if __name__ == "__main__":
    main()
