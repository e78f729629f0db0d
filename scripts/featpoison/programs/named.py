"""Files that are given by name on a command line: NAME=FILE."""

import argparse
from pathlib import Path


def named_file(text: str) -> tuple[str, Path]:
    """NAME=FILE -> its parts, as the type of an argument. Raises ArgumentTypeError for anything else."""
    name, _, path = text.partition("=")
    if not name or not path:
        raise argparse.ArgumentTypeError(f"{text!r}, expected NAME=FILE")
    return name, Path(path)


def add_downstream(parser: argparse.ArgumentParser) -> None:
    """The argument `--downstream`: image files of downstream tasks by the names of their data sets."""
    parser.add_argument(
        "--downstream",
        type=named_file,
        nargs="+",
        required=True,
        metavar="NAME=FILE",
        help="image files of the downstream tasks",
    )


def downstream_of(parser: argparse.ArgumentParser, args: argparse.Namespace) -> dict[str, Path]:
    """The files by name; a usage error for a file that does not exist and for a name given twice."""
    downstream = dict(args.downstream)
    for name, path in downstream.items():
        if not path.exists():
            parser.error(f"--downstream: {path} of {name} does not exist")
    if len(downstream) < len(args.downstream):
        parser.error(
            f"--downstream: {', '.join(name for name, _ in args.downstream)}, expected no name twice"
        )
    return downstream
