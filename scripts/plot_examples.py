"""Figure 10: example images of a downstream data set, a row a class."""

from functools import partial
from pathlib import Path

from featpoison import store
from featpoison.programs import program
from featpoison.programs.output import write
from featpoison.render import examples, style


def main() -> None:
    """Images -> picture."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--images", type=Path, required=True, help="image file of the data set")
    parser.add_argument("--count", type=int, default=10, help="images of a row (default 10)")
    parser.add_argument("output", type=Path, nargs="+", help="the picture, one path per form (.pdf, .png)")
    args = program.start(parser)
    record = program.record(args, [args.images], {"count": args.count})
    labels, classes = (
        store.read(args.images, "train_labels")["train_labels"],
        store.read_attributes(args.images)["classes"],
    )
    rows = [(name, examples.first_of(labels, value, args.count)) for value, name in enumerate(classes)]
    write(args.output, record, partial(style.save, examples.draw(args.images, rows, len(labels))))


if __name__ == "__main__":
    main()
