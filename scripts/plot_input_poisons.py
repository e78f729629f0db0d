"""Figure 2: clean images and what unconstrained gradient canceling in input space makes of them."""

from functools import partial
from pathlib import Path

from featpoison import store
from featpoison.datasets.stored import largest_pixel, training_images
from featpoison.programs import program
from featpoison.programs.output import write
from featpoison.render import input_poisons, style
from featpoison.results.cells import cells_of
from featpoison.results.rows import Request, Row
from featpoison.results.samples import Scenario, ScenarioFiles


def main() -> None:
    """Images, poisons, result file, clean heads -> picture."""
    parser = program.parser(__doc__)
    parser.set_defaults(device="cpu")  # the heads' predictions are no work for a GPU
    parser.add_argument(
        "--images", type=Path, required=True, help="image file that the poisons' base images come from"
    )
    parser.add_argument(
        "--poisons", type=Path, required=True, help="poison file of the attack without constraints"
    )
    parser.add_argument("--victims", type=Path, required=True, help="the attack's result file")
    parser.add_argument("--features", type=Path, required=True, help="feature cache")
    parser.add_argument("--clean", type=Path, required=True, help="clean heads")
    parser.add_argument("--count", type=int, default=10, help="images of a row (default 10)")
    parser.add_argument("output", type=Path, nargs="+", help="the picture, one path per form (.pdf, .png)")
    args = program.start(parser)
    inputs = [args.images, args.poisons, args.victims, args.features, args.clean]
    record = program.record(args, inputs, {"count": args.count})
    arrays = store.read(args.poisons, "images", "base")
    eps_d = store.read_attributes(args.poisons)["eps_d"]
    scenario = Scenario(ScenarioFiles(features=str(args.features), clean=str(args.clean)))
    row = Row(method="gc-input", set="free")
    request = Request(row=row, eps_d=eps_d, source=str(args.victims), makes="images", title="GC-input")
    cells = cells_of(request, scenario, None)
    largest = largest_pixel(args.images)
    clean = training_images(args.images, arrays["base"])
    write(
        args.output,
        record,
        partial(style.save, input_poisons.draw(arrays["images"], clean, largest, cells, args.count)),
    )


if __name__ == "__main__":
    main()
