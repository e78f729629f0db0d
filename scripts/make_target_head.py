"""GradPC: move the clean head one step along its gradient; report the accuracy that an attacker aims at and the reachability threshold.

The gradient comes from the feature cache, or, with --images and --encoder, from the images through the encoder ("input space").
"""

from pathlib import Path

from featpoison import softmax, store
from featpoison.attacks.gradpc import GradPC, target_head
from featpoison.downstream.metrics import accuracy
from featpoison.downstream.stored import read_clean_head, read_task
from featpoison.encoders.encoder import load_encoder
from featpoison.encoders.features import extract
from featpoison.programs import program


def main() -> None:
    """Feature cache, clean head (and images, encoder) -> target head."""
    parser = program.parser(__doc__)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--clean", type=Path, required=True, help="clean heads")
    parser.add_argument("--images", type=Path, help="with --encoder: gradient in input space")
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--settings", default="{}", help="JSON of the GradPC settings")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    if (args.images is None) != (args.encoder is None):
        parser.error("--images and --encoder go together")
    settings = program.settings(GradPC, args.settings)
    inputs = [path for path in (args.features, args.clean, args.images, args.encoder) if path]
    record = program.record(args, inputs, settings.model_dump())
    task, clean = read_task(args.features), read_clean_head(args.clean)
    train = task.train
    if args.images:
        with store.rows(args.images, "train_images") as images:
            train = extract(images, load_encoder(args.encoder).to(args.device))
    target = target_head(clean, softmax.head_gradient(train.double(), task.train_labels, clean.to(train.double())), settings)
    G = softmax.head_gradient(train, task.train_labels, target)
    tau = softmax.reachability_threshold(G, target, len(train))
    share = accuracy(task.test, task.test_labels, target.omega).item()
    store.write(
        args.output,
        {"omega": target.omega.numpy(), "clean_gradient": G.numpy()},
        record,
        accuracy=share,
        clean_accuracy=accuracy(task.test, task.test_labels, clean.omega).item(),
        tau=tau,
        eps_w=settings.eps_w,
    )


if __name__ == "__main__":
    main()
