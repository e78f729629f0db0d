"""Judge the paper's ten claims by the intervals of our own result files, and write the page that says so."""

from pathlib import Path

from featpoison.programs import program
from featpoison.programs.output import write
from featpoison.render.claims_page import page
from featpoison.results.bootstrap import DRAWS
from featpoison.results.claims import CLAIMS
from featpoison.results.judging import STREAM, judge
from featpoison.results.samples import Evidence, EvidenceError, read_files, read_published


def main() -> None:
    """Result files, feature caches, heads, published numbers -> Markdown."""
    parser = program.parser(__doc__)
    form = "JSON: scenarios with features, clean, target; results as [scenario, method, beta, eps_d, file]"
    parser.add_argument("--evidence", required=True, help=form)
    parser.add_argument("--published", type=Path, required=True, help="CSV of the paper's numbers")
    parser.add_argument("output", type=Path)
    args = program.start(parser)
    try:
        evidence = Evidence(read_files(args.evidence))
        record = program.record(args, [*evidence.inputs, args.published], {"draws": DRAWS, "stream": STREAM})
        published = read_published(args.published)
        judgements = [judge(claim, evidence, published) for claim in CLAIMS]
    except EvidenceError as error:
        raise SystemExit(str(error)) from None
    text = page(judgements, evidence, published)
    write([args.output], record, lambda path: path.write_text(text) and None)


if __name__ == "__main__":
    main()
