"""Write a class-balanced subset of CIFAR-10 as an archive of the official binary layout: the demo's embedded
data.

The rows are `balanced_subset(labels, per_class, seed)` in the order of the official files. Members repeat
byte for byte; the container's bytes also depend on the xz library.
"""

import io
import tarfile
from pathlib import Path

from featpoison import store
from featpoison.common.files import replacing
from featpoison.datasets.cifar import to_records
from featpoison.datasets.images import balanced_subset
from featpoison.programs import program


def main() -> None:
    """Images of the whole data set -> archive of the subset."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--train", type=int, default=500, help="training images per class (default 500)")
    parser.add_argument("--test", type=int, default=200, help="test images per class (default 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    arrays = store.read(args.images)
    members = {"batches.meta.txt": ("\n".join(store.read_attributes(args.images)["classes"]) + "\n").encode()}
    for name, part, count in (
        ("data_batch_1.bin", "train", args.train),
        ("test_batch.bin", "test", args.test),
    ):
        labels = arrays[f"{part}_labels"]
        rows = balanced_subset(labels, count, args.seed)
        members[name] = to_records(arrays[f"{part}_images"][rows], labels[rows])
    with replacing(args.output) as temporary, tarfile.open(temporary, "w:xz", preset=9) as archive:
        for name in sorted(members):
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(members[name])
            archive.addfile(entry, io.BytesIO(members[name]))


if __name__ == "__main__":
    main()
