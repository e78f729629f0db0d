"""Judge the paper's ten claims by the intervals of our own result files, and write the page that says so."""

from pathlib import Path

from featpoison.papers import lu2024
from featpoison.papers.lu2024_claims import CLAIMS
from featpoison.programs import program
from featpoison.programs.output import write_text
from featpoison.render.claims_page import page
from featpoison.results.bootstrap import DRAWS, STREAM
from featpoison.results.judging import judge
from featpoison.results.samples import SampleError, Samples, read_files


def main() -> None:
    """Result files, feature caches, heads, published numbers -> Markdown."""
    parser = program.parser(__doc__)
    parser.set_defaults(device="cpu")  # the heads' predictions are no work for a GPU
    text = "JSON: scenarios with features and clean; results as rows with budget, result file and title"
    parser.add_argument("--results", required=True, help=text)
    parser.add_argument("--published", type=Path, required=True, help="CSV of the paper's numbers")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    try:
        samples = Samples(read_files(args.results))
        record = program.record(args, [*samples.inputs, args.published], {"draws": DRAWS, "stream": STREAM})
        published = lu2024.drops(args.published)
        judgements = [judge(claim, samples, published) for claim in CLAIMS]
    except SampleError as error:
        raise SystemExit(str(error)) from None
    write_text(args.output, record, page(judgements, samples, published))


if __name__ == "__main__":
    main()
