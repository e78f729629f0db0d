"""Convert a published checkpoint to an encoder of this project: a safetensors file that says how to build it.
Nothing of the file is executed."""

from pathlib import Path

from featpoison.encoders.conversion import FORMATS, Conversion, convert
from featpoison.encoders.encoder import EncoderError, save_encoder
from featpoison.programs import program
from featpoison.records.provenance import canonical_json


def main() -> None:
    """Checkpoint -> encoder."""
    parser = program.parser(__doc__)
    parser.add_argument(
        "--format", required=True, choices=FORMATS, help="how the checkpoint names its tensors"
    )
    parser.add_argument(
        "--arch",
        required=True,
        help="name of the architecture (resnet50, clip-resnet50, timm:NAME, ...), or JSON of its settings",
    )
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    architecture = args.arch if args.arch.startswith("{") else canonical_json({"name": args.arch})
    conversion = program.settings(
        Conversion, f'{{"format": "{args.format}", "architecture": {architecture}}}'
    )
    record = program.record(args, [args.input], conversion.model_dump())
    try:
        encoder = convert(args.input, conversion)
    except EncoderError as error:
        raise SystemExit(str(error)) from None
    save_encoder(args.output, encoder, record)


if __name__ == "__main__":
    main()
