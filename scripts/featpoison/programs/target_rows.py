"""Rows of the table of attacks on pre-training, as programs are given them."""

import argparse
from pathlib import Path

import pydantic

from featpoison.results.target_cells import TargetRow


def add_rows(parser: argparse.ArgumentParser) -> None:
    """The argument `--rows`."""
    parser.add_argument(
        "--rows", required=True, help="JSON: a list of rows, with the files of their measures"
    )


def rows_of(args: argparse.Namespace) -> list[TargetRow]:
    """The rows; exits with key, value and expectation where they are none."""
    try:
        return pydantic.TypeAdapter(list[TargetRow]).validate_json(args.rows)
    except pydantic.ValidationError as error:
        raise SystemExit(f"--rows: {error}") from None


def files_of(rows: list[TargetRow]) -> list[Path]:
    """The measures of all rows, each file once."""
    return list(dict.fromkeys(Path(path) for row in rows for path in (*row.measures, *row.clean)))
