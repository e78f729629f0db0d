"""Print where files come from, down to downloads and embedded data, and check every digest on the way.

    audit.py figures/demo/table1.csv data/poisons/.../eps0.03-seed0.h5
    audit.py figures/demo/table1.csv --cell feature-matching,0.25,0.03
    audit.py figures/poisoned-encoder/pretraining.csv --cell continued-screened,converged

The others say where that number comes from, and compute it again.

Checked are the bytes of all files, each record against its seal, and the place of each product. Files are
read in parallel, and a file whose size and times are those of the last audit is not read again: somebody who
changes a byte and puts the times back is found by --full alone. Seals are digests, not signatures: they find
damage, edits, and files that changed places or were made anew. A table that was forged together with new
seals is found by --cell.

Exit codes:
  0  all is well; downloads that no published digest vouches for are listed, and are no failure
  1  something differs from what was recorded: bytes, a record, a place, a setting (--configfile), a cell
  2  wrong usage: no such cell, no such option
  3  nothing differs, but something is missing: a file that others were made from, a record, a path asked for

Everything that differs or is missing is named on standard error.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from featpoison.audit import cell_names, lineage, target_cell_names
from featpoison.audit.cell_names import CellNameError, TableLine
from featpoison.audit.digests import Digests
from featpoison.audit.lineage import Lineage, trace
from featpoison.records import provenance

OK, DIFFERS, USAGE, MISSING = range(4)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "paths", type=Path, nargs="+", metavar="PATH", help="products: tables, figures, anything under data/"
    )
    parser.add_argument(
        "--cell",
        metavar="METHOD[,BETA],EPS[,WORD...]",
        help="a cell of the one table in PATH, a .csv; without words, of all sets and victims. Of the table "
        "of attacks on pre-training: ENCODER[,TASK][,VICTIM]",
    )
    parser.add_argument("--full", action="store_true", help="read every byte, whatever the last audit found")
    parser.add_argument(
        "--json",
        action="store_true",
        help="one JSON document: roots, nodes, failures, unverified, and with --cell cells",
    )
    parser.add_argument(
        "--configfile",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="compare the recorded settings with those of this YAML too, or of several that lie over one "
        "another",
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="where --cell computes: auto (a GPU where there is one), cpu, cuda, ...",
    )
    return parser


def main() -> int:
    """Paths -> lineage on standard output, failures on standard error."""
    parser = arguments()
    args = parser.parse_args()
    if args.cell and (len(args.paths) != 1 or args.paths[0].suffix != ".csv"):
        parser.error("--cell: expected one PATH, the .csv of a table")
    digests = Digests(full=args.full)
    cells: list[dict[str, Any]] = []
    if args.cell and args.paths[0].is_file():
        try:
            found, cells = of_cell(args.paths[0], args.cell, digests, args.device)
        except CellNameError as error:
            found = trace(args.paths, digests, only={lineage.name_of(args.paths[0]): ()})
            if not found.having("tampered", "missing"):
                parser.error(f"--cell: {error}")
    else:
        found = trace(args.paths, digests)
    if args.configfile:
        compare_settings(found, args.configfile, parser)
    digests.save()
    failures = [
        problem for node in found.having("tampered", "outdated", "missing") for problem in node.problems
    ]
    failures += [line for cell in cells for line in cell["differences"]]
    if args.json:
        print(
            json.dumps(
                json.loads(lineage.document(found)) | {"failures": failures, "cells": cells},
                indent=1,
                sort_keys=True,
            )
        )
    else:
        report(found, cells, failures, len(digests.read))
    for line in failures:
        print(f"AUDIT FAILED: {line}", file=sys.stderr)
    if found.having("tampered", "outdated") or any(cell["differences"] for cell in cells):
        return DIFFERS
    return MISSING if failures else OK


def report(found: Lineage, cells: list[dict[str, Any]], failures: list[str], read: int) -> None:
    """The tree, the cells, downloads that nobody vouches for, and a count."""
    for line in lineage.tree(found):
        print(line)
    for cell in cells:
        print(f"\n{cell['cell']} from {cell.get('source')}\n  {'':16} {'printed':>10} {'again':>10}")
        for name, column in cell.get("columns", {}).items():
            print(
                f"  {name:16} {column['printed']:>10} {column['again']:>10}  "
                f"{'' if column['agrees'] else 'DIFFERS  '}{column['from']}"
            )
    if unverified := found.unverified:
        print(
            f"\n{len(unverified)} unverified downloads, trusted on first use because nobody published a "
            "digest:"
        )
        for node in unverified:
            print(f"  {node.path} sha256 {node.record['archive'] if node.record else node.sha256}")
    files = sum(node.kind != "download" and node.sha256 is not None for node in found.nodes.values())
    verdict = f"{len(failures)} failures." if failures else "every digest agrees."
    print(f"\n{files} files checked, {read} of them read, {verdict}")


def of_cell(table: Path, text: str, digests: Digests, device: str) -> tuple[Lineage, list[dict[str, Any]]]:
    """The lineage of a cell's result files, and its rows with every column computed again. Raises
    CellNameError."""
    of_targets = target_cell_names.lines_of(table)
    rows = (
        target_cell_names.find(of_targets, text)
        if of_targets
        else cell_names.find(table, cell_names.parse(text))
    )
    try:
        entry = provenance.read_sidecar(table)
    except (FileNotFoundError, provenance.RecordError):  # the lineage names it
        entry = None
    shared = [
        name
        for name in (entry or {}).get("inputs", {})
        if name.startswith(("data/features/", "data/heads/", "data/published/"))
    ]
    behind = [path for row in rows for path in row["source"].split()]
    behind += [path for row in rows if of_targets for path in target_cell_names.clean_of(row)]
    needed = [*dict.fromkeys(behind), *shared]
    found = trace(
        [table, *(provenance.ROOT / name for name in needed)], digests, only={lineage.name_of(table): needed}
    )
    if entry is None or any(node.path != found.roots[0] for node in found.having("tampered", "missing")):
        return found, []  # what is broken is named; nothing sound is left to compute from
    sources = dict.fromkeys(row["source"] for row in rows)
    return found, [
        cell
        for source in sources
        for cell in computed([row for row in rows if row["source"] == source], entry, device)
    ]


def computed(rows: list[TableLine], table: provenance.Record, device: str) -> list[dict[str, Any]]:
    """Of each row its columns as printed and as computed again, with where they come from, and a line for
    each that differs."""
    from featpoison.audit import recompute, recompute_targets  # torch
    from featpoison.programs import program

    of_targets = target_cell_names.is_of_targets(rows[0])
    name_of = (target_cell_names if of_targets else cell_names).name_of
    cells = []
    try:
        found = (
            recompute_targets.recompute(rows)
            if of_targets
            else recompute.recompute(rows, table, program.device(device))
        )
    except (ValueError, LookupError, OSError) as error:
        return [
            {"cell": name_of(row), "differences": [f"{name_of(row)}: cannot be computed again: {error}"]}
            for row in rows
        ]
    for row, again in zip(rows, found, strict=True):
        cell: dict[str, Any] = {
            "cell": name_of(row),
            "source": row["source"],
            "columns": {},
            "differences": [],
        }
        cell["tolerance"] = {"relative": again.slack, "points": again.slack_points}
        for name, printed, value, agrees in recompute.differences(row, again):
            if name in again.origins and (printed or value):
                cell["columns"][name] = {
                    "printed": printed,
                    "again": value,
                    "agrees": agrees,
                    "from": again.origins[name],
                }
            if not agrees:
                text = (
                    f"{name} is printed as {printed or 'nothing'}, computed again it is {value or 'nothing'}"
                )
                cell["differences"].append(f"{name_of(row)}: {text}")
        cells.append(cell)
    return cells


def compare_settings(found: Lineage, configfiles: list[Path], parser: argparse.ArgumentParser) -> None:
    """Mark products whose recorded settings are not those of a configuration."""
    from featpoison import config
    from featpoison.audit.settings_comparison import differences
    from featpoison.graph.steps import Steps

    try:
        steps = Steps(config.load(*configfiles))
    except (FileNotFoundError, config.ConfigError) as error:
        parser.error(f"--configfile: {error}")
    for node in found.nodes.values():
        if node.record and node.kind == "product":
            for line in differences(steps, node.path, node.record):
                node.fail("outdated", line)


if __name__ == "__main__":
    sys.exit(main())
