"""Figure 1: the threat model. An encoder is pre-trained on clean images and frozen; the head that is trained
on it sees poisons."""

import argparse
from functools import partial
from pathlib import Path

from featpoison import store
from featpoison.datasets.stored import training_images
from featpoison.encoders.encoder import load_encoder
from featpoison.programs import program
from featpoison.programs.output import write
from featpoison.render import style, threat_model
from featpoison.render.contrastive_pairs import recorded_training, two_views
from featpoison.render.poison_images import first_distinct
from featpoison.results.cells import cells_of
from featpoison.results.rows import Request, Row
from featpoison.results.samples import Scenario, ScenarioFiles


def main() -> None:
    """Images, encoder, poisons, result file, clean heads -> picture."""
    parser = program.parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="image file of the downstream data set")
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--poisons", type=Path, required=True, help="poison file of feature matching")
    parser.add_argument("--victims", type=Path, required=True, help="the attack's result file")
    parser.add_argument("--features", type=Path, required=True, help="feature cache")
    parser.add_argument("--clean", type=Path, required=True, help="clean heads")
    parser.add_argument("--count", type=int, default=5, help="images of a row (default 5)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random views")
    parser.add_argument("output", type=Path, nargs="+", help="the picture, one path per form (.pdf, .png)")
    args = program.start(parser)
    inputs = [args.images, args.encoder, args.poisons, args.victims, args.features, args.clean]
    record = program.record(args, inputs, {"count": args.count, "seed": args.seed})
    model = read(args)
    write(args.output, record, partial(style.save, threat_model.draw(model)))


def read(args: argparse.Namespace) -> threat_model.ThreatModel:
    """The files as the figure wants them: the first training images of distinct classes, the first poisons of
    distinct base images."""
    arrays, classes = store.read(args.images, "train_labels"), store.read_attributes(args.images)["classes"]
    poisons, facts = store.read(args.poisons, "images", "labels", "base"), store.read_attributes(args.poisons)
    beta = store.read_provenance(args.poisons)["settings"]["beta"]
    rows, shown = (
        first_distinct(arrays["train_labels"], args.count),
        first_distinct(poisons["base"], args.count),
    )
    clean = training_images(args.images, rows)
    training, strengths = recorded_training(args.encoder)
    views, similarity = two_views(clean, strengths, load_encoder(args.encoder), args.seed)
    scenario = Scenario(ScenarioFiles(features=str(args.features), clean=str(args.clean)))
    row = Row(method="feature-matching", beta=beta)
    request = Request(
        row=row, eps_d=facts["eps_d"], source=str(args.victims), makes="images", title="feature matching"
    )
    return threat_model.ThreatModel(
        training=training,
        views=views,
        similarity=similarity,
        clean=clean,
        clean_labels=[classes[label] for label in arrays["train_labels"][rows]],
        poisons=poisons["images"][shown],
        poison_labels=[classes[label] for label in poisons["labels"][shown]],
        rows=(len(arrays["train_labels"]), len(poisons["base"])),
        eps_d=facts["eps_d"],
        beta=beta,
        cells=cells_of(request, scenario, None),
    )


if __name__ == "__main__":
    main()
