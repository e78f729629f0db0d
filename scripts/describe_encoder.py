"""State what an encoder is worth: loss of each epoch, linear accuracy on a data set's full test set, and
where both come from."""

import json
from pathlib import Path

from featpoison import store
from featpoison.common.files import replacing
from featpoison.programs import program
from featpoison.records import provenance
from featpoison.records.seal import read_metadata


def main() -> None:
    """Encoder, its pre-training images, clean heads on its features -> JSON."""
    parser = program.parser(__doc__, compute=False)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="images that it was pre-trained on")
    parser.add_argument("--clean", type=Path, required=True, help="clean heads on its features")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    metadata = read_metadata(args.encoder)
    heads = store.read(args.clean, "sgd100_accuracy", "converged_accuracy")
    last = heads["sgd100_accuracy"][0, :, -1]
    facts = {
        "encoder": {
            "file": args.encoder.name,
            "sha256": provenance.sha256_file(args.encoder),
            "architecture": metadata["architecture"],
        },
        "linear_accuracy_percent": {
            "sgd100": [round(100 * value, 2) for value in last.tolist()],
            "converged": round(100 * heads["converged_accuracy"].item(), 2),
            "heads": provenance.relative(args.clean),
        },
        "loss_per_epoch": [round(value, 5) for value in metadata["losses"]],
        "provenance": metadata["provenance"],
        "pretraining_images": store.read_provenance(args.images),
    }
    record = program.record(args, [args.encoder, args.images, args.clean], {})
    with replacing(args.output) as temporary:
        temporary.write_text(json.dumps(facts, indent=1) + "\n")
    provenance.write_sidecar(args.output, record)


if __name__ == "__main__":
    main()
