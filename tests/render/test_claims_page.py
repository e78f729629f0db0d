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


def test_a_side_that_cannot_lose_as_much_as_the_other_does_not_count(tmp_path):
    """Transfer has 60 points, of which it loses 55; fine-tuning loses 80, and by other attacks 30 and 61,
    whose interval begins below 60."""
    constrained = GC.model_copy(update={"set": "constrained"})
    world = World(tmp_path).add("fine-tuning", {GC: 0.8, TGDA: 0.3, constrained: 0.61})
    lines = page_of(world.add("transfer", {GC: 0.55, TGDA: 0.5, constrained: 0.55}, error=0.4), 6)
    text = "not supported (1 of 2, 1 opposite, 1 not counted)"
    assert f"| 6 | {CLAIMS[5].text} | {text} | {text} | 32 of 32 |" in lines
    rows = [line for line in lines if line.startswith("|") and "transfer > fine-tuning" in line]
    assert ["not counted" in row for row in rows] == [True, False, False]
    assert any(line.startswith("- `sgd100`: 1 of 2 comparisons hold. The one") for line in lines)


def test_a_claim_of_which_nothing_counts_is_not_judged(tmp_path):
    """For the converged victim, which loses half of it in fine-tuning, it is."""
    world = World(tmp_path).add("fine-tuning", {GC: 0.8}, converged=0.5)
    lines = page_of(world.add("transfer", {GC: 0.55}, error=0.4), 6)
    verdicts = "not judged (0 of 0, 1 not counted) | supported (1 of 1)"
    assert f"| 6 | {CLAIMS[5].text} | {verdicts} | 32 of 32 |" in lines
    assert any(line.startswith("**Supported (converged alone is judged).**") for line in lines)
    assert "- `sgd100`: none of 1 comparisons counts." in lines


def test_a_claim_that_counts_for_no_victim_is_not_judged(tmp_path):
    world = World(tmp_path).add("fine-tuning", {GC: 0.8}).add("transfer", {GC: 0.55}, error=0.4)
    lines = page_of(world, 6)
    assert any(line.startswith("**Not judged.**") for line in lines)


def test_the_verdicts_of_targets_differ_only_where_both_are_judged(tmp_path):
    world = World(tmp_path).add("fine-tuning", {GC: 0.8, GC_REACHABLE: 0.3})
    lines = page_of(world.add("transfer", {GC: 0.55, GC_REACHABLE: 0.5}, error=0.4), 6)
    text = "supported (1 of 1, 1 not counted)"
    assert f"| 6 | {CLAIMS[5].text} | {text} | {text} | 32 of 32 |" in lines
