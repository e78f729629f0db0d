"""Take an encoder's weights from the repository or a download, check digest and keys, convert a foreign
checkpoint, and put it in place."""

from pathlib import Path

import torch
from featpoison.datasets.downloads import Source, check, obtain
from featpoison.encoders.conversion import Conversion, convert
from featpoison.encoders.encoder import EncoderError, load_encoder, save_encoder
from featpoison.programs import program
from featpoison.records.seal import read_metadata


def main() -> None:
    """Source -> encoder."""
    parser = program.parser(__doc__)
    parser.add_argument("--settings", required=True, help="JSON of the source: path or url, sha256")
    parser.add_argument(
        "--conversion",
        help="JSON of format and architecture of a foreign checkpoint (default: a file of this project)",
    )
    parser.add_argument("--downloads", type=Path, default=Path("data/downloads"), help="folder for downloads")
    parser.add_argument("output", type=Path)
    args = program.start(parser, made=("downloads",))
    source = program.settings(Source, args.settings)
    conversion = program.settings(Conversion, args.conversion) if args.conversion else None
    path, _ = obtain(source, args.downloads)
    # A mirror's file under another name has to be the same file.
    digest = check(path, source.sha256, source.md5)
    values = source.model_dump() | ({"conversion": conversion.model_dump()} if conversion else {})
    record = program.record(args, [path] if source.path else [], values)
    origin = None if conversion else read_metadata(path).get("provenance")
    record |= {"download": {"archive": digest, "verified": source.published}, "origin": origin}
    try:
        encoder = convert(path, conversion) if conversion else load_encoder(path)
    except EncoderError as error:
        raise SystemExit(str(error)) from None
    save_encoder(args.output, encoder, record, dtype=torch.float32)


if __name__ == "__main__":
    main()
