"""The programs of Figures 5 and 9: images and poisons in, a grid out."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from featpoison.datasets.stored import training_images
from featpoison.programs import program
from featpoison.programs.output import write
from featpoison.render import style
from featpoison.render.poison_images import Shown, read_shown


def run(description: str | None, draw: Callable[[list[Shown], list[np.ndarray]], Figure]) -> None:
    """Images, poisons of each beta -> the picture that `draw` makes of the poisons and their clean base
    images."""
    parser = program.parser(description, compute=False)
    parser.add_argument(
        "--images", type=Path, required=True, help="image file that the poisons' base images come from"
    )
    parser.add_argument("--poisons", type=Path, nargs="+", required=True, help="poison files, one per beta")
    parser.add_argument("--count", type=int, default=10, help="images of a row (default 10)")
    parser.add_argument("output", type=Path, nargs="+", help="the picture, one path per form (.pdf, .png)")
    args = program.start(parser)
    record = program.record(args, [args.images, *args.poisons], {"count": args.count})
    shown = read_shown(args.poisons, args.count)
    clean = [training_images(args.images, part.base) for part in shown]
    write(args.output, record, partial(style.save, draw(shown, clean)))
