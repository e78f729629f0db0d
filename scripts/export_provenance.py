"""Write the lineage of products as a Workflow Run RO-Crate: files with digests and sizes, jobs with settings,
times and use of resources.

    export_provenance.py figures/demo/table1.csv
    export_provenance.py figures/demo/table1.csv --copy FOLDER

The first writes ro-crate-metadata.json at the root of the repository, which is then the crate; the second
makes a crate of its own, with a copy of every file.

Times are those of Snakemake's records, where they are still here. Only a lineage whose every digest agrees is
exported. Exit codes are those of audit.py: 1 something differs, 3 something is missing; nothing is written
then.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from featpoison.audit.crate import crate_of
from featpoison.audit.digests import Digests
from featpoison.audit.lineage import trace
from featpoison.common.files import replacing
from featpoison.records import provenance

METADATA = "ro-crate-metadata.json"


def main() -> int:
    """Products -> crate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "paths", type=Path, nargs="+", metavar="PATH", help="products: tables, figures, anything under data/"
    )
    parser.add_argument(
        "--copy", type=Path, metavar="FOLDER", help="a new or empty folder for a crate that holds all files"
    )
    parser.add_argument(
        "--name", default="Products of featpoison and their provenance", help="the crate's name"
    )
    args = parser.parse_args()
    if args.copy and args.copy.exists() and (not args.copy.is_dir() or any(args.copy.iterdir())):
        parser.error(f"--copy: {args.copy} exists and is not an empty folder; expected a new or an empty one")
    digests = Digests()
    lineage = trace(args.paths, digests)
    digests.save()
    broken = lineage.having("tampered", "missing")
    for problem in (problem for node in broken for problem in node.problems):
        print(f"NOT EXPORTED: {problem}", file=sys.stderr)
    if broken:
        return 1 if lineage.having("tampered") else 3
    document = crate_of(lineage, args.name)
    folder = args.copy or provenance.ROOT
    if args.copy:
        copy_files(document, folder)
    with replacing(folder / METADATA) as temporary:
        temporary.write_text(json.dumps(document, indent=1) + "\n")
    jobs = sum(
        entity["@id"].startswith("#job-") and entity["@type"] == "CreateAction"
        for entity in document["@graph"]
    )
    print(f"{folder / METADATA}: {jobs} jobs, {len(lineage.nodes)} files")
    return 0


def copy_files(document: dict, folder: Path) -> None:
    """All files and folders of the crate that lie in the repository."""
    for entity in document["@graph"]:
        name = entity["@id"]
        source = provenance.ROOT / name
        if "://" in name or name.startswith(("#", "./")) or name == METADATA:
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, folder / name, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, folder / name)


if __name__ == "__main__":
    sys.exit(main())
