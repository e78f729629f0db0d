"""Print where files come from, down to downloads and embedded data, and check every digest on the way.

Exit codes: 0 all is well; 1 something differs, is missing or is damaged (the first such place is named on standard error); 2 wrong usage.
"""

import argparse
import sys
from pathlib import Path

from featpoison.lineage import AuditError, audit


def main() -> int:
    """Paths -> lineage on standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="products: tables, figures, anything under data/")
    args = parser.parse_args()
    for path in args.paths:
        if not path.is_file():
            print(f"{path}: no such file", file=sys.stderr)
            return 1
    try:
        for line in audit(args.paths):
            print(line)
    except AuditError as error:
        print(f"AUDIT FAILED: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
