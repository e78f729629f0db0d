"""What EMN's noise costs: victims trained on the perturbed images of every poison seed, on their 8-bit
copies, and on the clean ones.

Variant `input` retrains both linear victims on features of the frozen encoder; the others train whole
networks, and resume after the last finished one.
"""

from pathlib import Path

from featpoison import store
from featpoison.downstream.emn_victims import (
    noise_measures,
    read_perturbed_sets,
    retrain_heads,
    retrain_whole,
)
from featpoison.downstream.networks import NetworkVictims
from featpoison.downstream.victims import Victims
from featpoison.encoders.encoder import load_encoder
from featpoison.programs import program
from featpoison.records.checkpoints import Checkpoint


def main() -> None:
    """Images, encoder, noise of each poison seed -> accuracies, linear victims' heads, PSNR and magnitude of
    the noise."""
    parser = program.parser(__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument(
        "--noise", type=Path, nargs="+", required=True, help="noise files of one variant, one per poison seed"
    )
    parser.add_argument(
        "--settings",
        default="{}",
        help="JSON of the victims' settings: Victims for `input`, NetworkVictims otherwise",
    )
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    data = read_perturbed_sets(args.images, args.noise)
    encoder = load_encoder(args.encoder).to(args.device)
    victims = program.settings(Victims if data.variant == "input" else NetworkVictims, args.settings)
    record = program.record(args, [args.images, args.encoder, *args.noise], victims.model_dump())
    checkpoint = Checkpoint(args.output, record)
    arrays = (
        retrain_heads(data, encoder, victims)
        if isinstance(victims, Victims)
        else retrain_whole(data, encoder, victims, checkpoint)
    )
    facts = {
        "seeds": victims.seeds,
        "variant": data.variant,
        "by_criterion": data.by_criterion,
        "images": len(data.labels),
    }
    store.write(args.output, arrays | noise_measures(data), record, **facts)
    checkpoint.remove()


if __name__ == "__main__":
    main()
