"""Take an encoder's safetensors file from the repository or a download, check its digest and its keys, and put it in place."""

from pathlib import Path

import torch
from featpoison import program
from featpoison.downloads import Source, check, obtain
from featpoison.encoders.encoder import load_encoder, save_encoder
from featpoison.weights import read_metadata


def main() -> None:
    """Source -> encoder."""
    parser = program.parser(__doc__)
    parser.add_argument("--settings", required=True, help="JSON of the source: path or url, sha256")
    parser.add_argument("--downloads", type=Path, default=Path("data/downloads"), help="folder for downloads")
    parser.add_argument("output", type=Path)
    args = program.start(parser, made=("downloads",))
    source = program.settings(Source, args.settings)
    path, _ = obtain(source, args.downloads)
    digest = check(path, source.sha256, source.md5)  # a mirror's file under another name has to be the same file
    record = program.record(args, [path] if source.path else [], source.model_dump())
    record |= {"download": {"archive": digest, "verified": source.published}, "origin": read_metadata(path).get("provenance")}
    save_encoder(args.output, load_encoder(path), record, dtype=torch.float32)


if __name__ == "__main__":
    main()
