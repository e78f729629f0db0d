"""Export poison images for other training code: 8-bit PNG files in a folder per class, a table of them, and
the exact floats.

The folder can be read by torchvision.datasets.ImageFolder, whose labels are then the data set's own. Pixels
outside [0, 1] are clipped in the PNG files, not in poisons.safetensors.
"""

import logging
from pathlib import Path

from featpoison import store
from featpoison.programs import program
from featpoison.render.export import ExportedImages, ExportError, export


def main() -> None:
    """Poisons, image file -> folder."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--poisons", type=Path, required=True, help="poison file with images")
    parser.add_argument(
        "--images", type=Path, required=True, help="image file of the data set, for the names of its classes"
    )
    parser.add_argument("output", type=Path, help="a new or empty folder")
    args = program.start(parser)
    record = program.record(args, [args.poisons, args.images], {})
    classes = tuple(store.read_attributes(args.images)["classes"])
    try:
        poisons = ExportedImages(**store.read(args.poisons, "images", "labels", "base"), classes=classes)
        export(poisons, args.output, record)
    except ExportError as error:
        raise SystemExit(str(error)) from None
    logging.info("%s", "; ".join([f"{len(poisons.labels)} poisons", *poisons.remarks()]))


if __name__ == "__main__":
    main()
