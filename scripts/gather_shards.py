"""Join the shards of one product, in order. The whole carries the shards' provenance, so its bytes do not
depend on their number."""

from pathlib import Path

import numpy as np
from featpoison import store
from featpoison.programs import program
from featpoison.records import provenance


def main() -> None:
    """Shards -> the whole, with the rows of every dataset one after the other."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--shards", type=Path, nargs="+", required=True, help="shard files, in order")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    shards = [store.read_provenance(path) for path in args.shards]
    for number, (path, shard) in enumerate(zip(args.shards, shards, strict=True), 1):
        store.check(path)
        if (found := shard["settings"].get("shard", "1-of-1")) != (expected := f"{number}-of-{len(shards)}"):
            raise SystemExit(f"{path}: shard {found}, expected {expected}: each shard once, in order")
    records = provenance.of_whole(shards)
    for path, record in zip(args.shards, records, strict=True):
        if record != records[0]:
            raise SystemExit(
                f"{path}: made from other inputs, settings, code or libraries than {args.shards[0]}; "
                "expected shards of one product"
            )
    facts = [store.read_attributes(path) for path in args.shards]
    for path, own in zip(args.shards, facts, strict=True):
        if (found := own.get("precision")) != (expected := facts[0].get("precision")):
            raise SystemExit(
                f"{path}: computed in {found}, but {args.shards[0]} in {expected}; "
                "expected one arithmetic: set 'precision' in the configuration"
            )
    parts = [store.read(path) for path in args.shards]
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    store.write(args.output, arrays, records[0], **facts[0])


if __name__ == "__main__":
    main()
