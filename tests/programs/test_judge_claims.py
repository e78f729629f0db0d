"""The page of claims, from the command line."""

import json

from featpoison.papers import lu2024
from featpoison.papers.lu2024_claims import CLAIMS
from featpoison.render.claims_page import page
from featpoison.results.judging import judge
from helpers import ran
from oracles.worlds import AS_CLAIMED, PUBLISHED, TAU, World


def test_the_program_writes_the_page_that_the_library_makes(tmp_path):
    """Another process, the same bytes."""
    world = World(tmp_path).add("fine-tuning", AS_CLAIMED)
    command = ["scripts/judge_claims.py", "--results", world.json]
    command += ["--published", str(PUBLISHED), str(tmp_path / "claims.md")]
    done = ran(*command)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "claims.md").read_text()
    samples, published = world.samples, lu2024.drops(PUBLISHED)
    assert text == page([judge(claim, samples, published) for claim in CLAIMS], samples, published)
    record = json.loads((tmp_path / "claims.md.provenance.json").read_text())
    # Shared files, a result file for each row, the paper's numbers.
    assert len(record["inputs"]) == 2 + len(AS_CLAIMED) + 1
    summary = [line for line in text.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert len(summary) == len(CLAIMS)
    assert f"{TAU:.3f}" in text
    for number in range(1, 11):
        assert f"## {number}. " in text
    assert "`sgd100`: 1 of 1 comparisons hold" in text
