"""Figure 3: the three stages of a feature-targeted attack, from one attack's own target head, poisoned
features and poisons."""

import argparse
from functools import partial
from pathlib import Path

from featpoison import store
from featpoison.datasets.stored import training_images
from featpoison.downstream.stored_heads import read_clean_head, read_target
from featpoison.downstream.task import read_task
from featpoison.programs import program
from featpoison.programs.output import write
from featpoison.render import pca, stages, style
from featpoison.render.poison_images import first_distinct
from featpoison.softmax import logits


def main() -> None:
    """Images, features, heads, poisoned features, poisons -> picture."""
    parser = program.parser(__doc__)
    parser.add_argument(
        "--images", type=Path, required=True, help="image file that the poisons' base images come from"
    )
    parser.add_argument("--features", type=Path, required=True, help="feature cache")
    parser.add_argument("--clean", type=Path, required=True, help="clean heads")
    parser.add_argument("--target", type=Path, required=True, help="target head")
    parser.add_argument("--poisoned", type=Path, required=True, help="poisoned features")
    parser.add_argument(
        "--poisons",
        type=Path,
        required=True,
        help="poison file of feature matching, of the same seed and budget",
    )
    parser.add_argument(
        "--count", type=int, default=5, help="poisons shown: the first with distinct base images (default 5)"
    )
    parser.add_argument("output", type=Path, nargs="+", help="the picture, one path per form (.pdf, .png)")
    args = program.start(parser)
    inputs = [args.images, args.features, args.clean, args.target, args.poisoned, args.poisons]
    record = program.record(args, inputs, {"count": args.count})
    content = read(args)
    write(args.output, record, partial(style.save, stages.draw(content)))


def read(args: argparse.Namespace) -> stages.Stages:
    """The files as the figure wants them."""
    task, (target, G), clean = read_task(args.features), read_target(args.target), read_clean_head(args.clean)
    poisoned = store.read(args.poisoned, "features", "base")
    poisons = store.read(args.poisons, "images", "features", "base")
    if len(poisons["base"]) != len(poisoned["base"]):
        raise SystemExit(
            f"{args.poisons}: {len(poisons['base'])} poisons, expected the {len(poisoned['base'])} of "
            f"{args.poisoned}"
        )
    facts = store.read_attributes(args.poisoned)
    right = [(logits(task.test, head).argmax(-1) == task.test_labels).numpy() for head in (clean, target)]
    rows = first_distinct(poisons["base"], args.count)
    train = task.train.numpy()
    return stages.Stages(
        plane=pca.fit(train),
        train=train,
        test=task.test.numpy(),
        flipped=right[0] & ~right[1],
        accuracies=(float(right[0].mean()), float(right[1].mean())),
        tau=store.read_attributes(args.target)["tau"],
        start=train[poisoned["base"]],
        zeta=poisoned["features"],
        eps_d=facts["eps_d"],
        residual=(2 * facts["last_loss"]) ** 0.5 / G.norm().item(),  # L = 1/2 ||R||^2
        base=training_images(args.images, poisons["base"][rows]),
        poisons=poisons["images"][rows],
        from_features=train[poisons["base"][rows]],
        to_features=poisons["features"][rows],
        aims=poisoned["features"][rows],
        beta=store.read_provenance(args.poisons)["settings"]["beta"],
    )


if __name__ == "__main__":
    main()
