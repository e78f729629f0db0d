"""Fetch a data set (mirror first, digests checked) and store it as uint8 images and labels in HDF5."""

from pathlib import Path

from featpoison import store
from featpoison.datasets.sources import Dataset, load
from featpoison.programs import program
from featpoison.records.provenance import ROOT


def main() -> None:
    """Settings (a data set of the configuration) -> images."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--settings", required=True, help="JSON of the data set's entry in the configuration")
    parser.add_argument(
        "--downloads", type=Path, default=Path("data/downloads"), help="folder for downloaded archives"
    )
    parser.add_argument("output", type=Path)
    args = program.start(parser, made=("downloads",))
    dataset = program.settings(Dataset, args.settings)
    images, digests = load(dataset, args.downloads)
    inside = [
        ROOT / source.path for source in dataset.sources if source.path and dataset.format != "image-folder"
    ]
    record = program.record(args, inside, dataset.model_dump()) | {"download": digests}
    store.write(args.output, images.arrays(), record, classes=images.classes)


if __name__ == "__main__":
    main()
