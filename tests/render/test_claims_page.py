"""The claims page: what it prints of a claim whose rows aim at several target heads."""

import pytest
from featpoison.papers import lu2024
from featpoison.papers.lu2024_claims import CLAIMS
from featpoison.render.claims_page import page
from featpoison.results.judging import judge
from oracles.worlds import (
    GC,
    GC_FEATURE,
    GC_FEATURE_REACHABLE,
    GC_REACHABLE,
    HEAD,
    PUBLISHED,
    REACHABLE,
    TGDA,
    World,
)

pytestmark = pytest.mark.usefixtures("fewer_draws")


def page_of(world, number):
    samples, published = world.samples, lu2024.drops(PUBLISHED)
    claims = [claim for claim in CLAIMS if claim.number == number]
    return page([judge(claim, samples, published) for claim in claims], samples, published).splitlines()


def test_each_target_has_its_verdict_and_its_intervals(tmp_path):
    drops = {HEAD: 0.6, GC_FEATURE: 0.2, REACHABLE: 0.5, GC_FEATURE_REACHABLE: 0.5}
    lines = page_of(World(tmp_path).add("fine-tuning", drops), 8)
    literal, reachable = (
        "Target `gradpc-feature` (literal protocol)",
        "Target `reachable` (chosen to be reachable)",
    )
    depends = "depends on the target (1 of 2, 1 opposite)"
    assert f"| 8 | {CLAIMS[7].text} | {depends} | {depends} | 5 of 6 |" in lines
    against = "not supported (0 of 1, 1 opposite)"
    assert f"|  | {literal} | {against} | {against} |  |" in lines
    assert f"|  | {reachable} | supported (1 of 1) | supported (1 of 1) |  |" in lines
    assert any(line.startswith("**Depends on the target.** Reached: ") for line in lines)
    for name, verdict in ((literal, "not supported"), (reachable, "supported")):
        start = lines.index(f"{name}: **{verdict}.**")
        for line, victim in zip(lines[start + 2 : start + 4], ("sgd100", "converged"), strict=True):
            assert line.startswith(f"- `{victim}`: ")
            assert line.count("[") >= 3 + 1  # the row's remarks, two drops, their difference


def test_rows_without_a_target_are_named(tmp_path):
    rows = {GC: 0.3, GC_REACHABLE: 0.3, TGDA: 0.2}
    world = World(tmp_path).add("fine-tuning", rows)
    lines = page_of(world.add("transfer", {row: drop + 0.2 for row, drop in rows.items()}), 6)
    assert "Rows without a target head: **supported.**" in lines


def test_sides_with_different_targets_are_both_named(tmp_path):
    constrained = GC_REACHABLE.model_copy(update={"set": "constrained"})
    lines = page_of(World(tmp_path).add("fine-tuning", {GC: 0.5, constrained: 0.1}), 2)
    assert not any(line.startswith("Target") for line in lines)  # one pair of targets, one verdict
    other = {GC_REACHABLE: 0.5, constrained: 0.1}
    world = World(tmp_path / "b").add("fine-tuning", {GC: 0.5, constrained: 0.1}).add("transfer", other)
    both = "Targets `gradpc-feature` (literal protocol) and `reachable` (chosen to be reachable)"
    assert f"{both}: **supported.**" in page_of(world, 2)


def test_a_side_with_no_more_to_lose_does_not_count(tmp_path):
    """Transfer can lose 0.9 at most, to which 0.86 is within chance; a smaller drop of the other scenario is
    another matter."""
    world = World(tmp_path).add("fine-tuning", {GC: 0.89, TGDA: 0.5})
    lines = page_of(world.add("transfer", {GC: 0.86, TGDA: 0.86}), 6)
    text = "supported (1 of 1, 1 not counted)"
    assert f"| 6 | {CLAIMS[5].text} | {text} | {text} | 32 of 32 |" in lines
    (row,) = (line for line in lines if "the gc-input row" in line and line.startswith("|"))
    assert row.count("nothing left") == 2
    assert sum(line.startswith("- `sgd100`: 1 of 1 comparisons hold. The comparison") for line in lines) == 1


def test_a_claim_of_which_nothing_counts_is_not_judged(tmp_path):
    world = World(tmp_path).add("fine-tuning", {GC: 0.89}).add("transfer", {GC: 0.86})
    lines = page_of(world, 6)
    text = "not judged (0 of 0, 1 not counted)"
    assert f"| 6 | {CLAIMS[5].text} | {text} | {text} | 32 of 32 |" in lines
    assert "- `sgd100`: none of 1 comparisons counts." in lines
