"""Verdicts on result files whose truth is known, and on the paper's own numbers."""

import numpy as np
import pytest
from featpoison.attacks.names import load, making
from featpoison.papers import lu2024
from featpoison.papers.lu2024_claims import CLAIMS
from featpoison.render.claims_page import page
from featpoison.results.claims import Key
from featpoison.results.judging import judge
from featpoison.results.samples import VICTIMS
from oracles.worlds import (
    AS_CLAIMED,
    DECODER,
    FILTERED,
    GC,
    GC_CONSTRAINED,
    GC_CONSTRAINED_REACHABLE,
    GC_FEATURE,
    GC_FEATURE_REACHABLE,
    GC_REACHABLE,
    HEAD,
    IN_PCAM,
    IN_TRANSFER,
    MATCHING,
    MATCHING_SMALL_BETA,
    NETWORK_DROPS,
    PUBLISHED,
    REACHABLE,
    TARGET,
    TGDA,
    TGDA_CONSTRAINED,
    World,
)

pytestmark = pytest.mark.usefixtures("fewer_draws")


def test_a_world_as_claimed(tmp_path):
    world = World(tmp_path).add("fine-tuning", AS_CLAIMED).add("transfer", IN_TRANSFER)
    world.add("transfer-pcam", IN_PCAM).add_noise("fine-tuning", 0.05, NETWORK_DROPS)
    assert world.verdicts() == dict.fromkeys(range(1, 11), "supported")


def test_what_is_not_there_is_not_run(tmp_path):
    verdicts = World(tmp_path).add("fine-tuning", AS_CLAIMED).verdicts()
    missing = {6: "not run", 9: "not run", 10: "not run"}
    assert verdicts == dict.fromkeys(range(1, 9), "supported") | missing
    left_out = (GC_CONSTRAINED, GC_FEATURE, MATCHING_SMALL_BETA)
    without = {row: drop for row, drop in AS_CLAIMED.items() if row not in left_out}
    found = World(tmp_path / "b").add("fine-tuning", without).verdicts()
    assert found == {1: "supported"} | dict.fromkeys(range(2, 11), "not run")
    # Claim 8 is about the budget 0.03.
    assert World(tmp_path / "c").add("fine-tuning", AS_CLAIMED, eps_d=0.1).verdicts()[8] == "not run"


def test_a_world_without_effects_supports_nothing(tmp_path):
    none = dict.fromkeys(AS_CLAIMED, 0.0) | {HEAD: 0.3}
    world = World(tmp_path).add("fine-tuning", none).add("transfer", none)
    world.add_noise("fine-tuning", 0.1, {"emn-original": 0.2, "emn-end-to-end": 0.2})
    assert world.verdicts() == dict.fromkeys(range(1, 10), "not supported") | {10: "not run"}


def test_what_only_sgd100_shows_is_called_instability(tmp_path):
    verdicts = World(tmp_path).add("fine-tuning", AS_CLAIMED, converged=0.0).verdicts()
    for number in (1, 2, 3, 4, 5, 7, 8):
        assert verdicts[number] == "supported (sgd100 only: instability)", number


@pytest.mark.parametrize(("residual", "expected"), [(0.05, "supported"), (0.6, "not supported")])
def test_a_target_is_reached_only_with_a_small_residual(tmp_path, residual, expected):
    assert World(tmp_path).add("fine-tuning", AS_CLAIMED, residual=residual).verdicts()[8] == expected


def test_every_budget_has_to_hold(tmp_path):
    world = World(tmp_path).add("fine-tuning", AS_CLAIMED)
    verdicts = world.add("fine-tuning", AS_CLAIMED | {MATCHING: 0.05}, eps_d=0.1).verdicts()
    assert (verdicts[1], verdicts[3]) == ("supported", "not supported")


def test_an_interval_that_reaches_zero_supports_nothing(tmp_path):
    """A clear advantage on average, from seeds that disagree wildly."""
    world = World(tmp_path).add("fine-tuning", {GC: 0.3, TGDA: 0.2}, spread=0.1)
    assert world.verdicts()[1] == "not supported"


def test_several_fold_needs_a_drop_to_shrink(tmp_path):
    """Three times less than nothing is nothing: without an unconstrained drop the ratio is undefined and the
    claim not supported."""
    world = World(tmp_path).add("fine-tuning", {GC: 0.0, GC_CONSTRAINED: -0.05})
    assert world.verdicts()[2] == "not supported"
    samples, published = world.samples, lu2024.drops(PUBLISHED)
    text = page([judge(CLAIMS[1], samples, published)], samples, published)
    assert "ratio undefined" in text
    free, constrained = (f"the gc-input row [{one}, target {TARGET}]" for one in ("free", "constrained"))
    assert f"{free} > 3 x {constrained}" in text  # titles are those of the rows
    twice = World(tmp_path / "b").add("fine-tuning", {GC: 0.4, GC_CONSTRAINED: 0.2})
    assert twice.verdicts()[2] == "not supported"


# Verdicts by target head


def judged(number, world):
    claim = next(claim for claim in CLAIMS if claim.number == number)
    return judge(claim, world.samples, lu2024.drops(PUBLISHED))


def test_targets_with_different_verdicts_are_judged_apart(tmp_path):
    """GC-feature reaches one target head and not the other."""
    drops = {HEAD: 0.6, GC_FEATURE: 0.2, REACHABLE: 0.5, GC_FEATURE_REACHABLE: 0.5}
    found = judged(8, World(tmp_path).add("fine-tuning", drops))
    assert found.overall == "depends on the target"
    assert {found.verdict(victim) for victim in VICTIMS} == {"depends on the target"}
    verdicts = {targets: part.overall for targets, part in found.by_target.items()}
    assert verdicts == {("gradpc-feature",): "not supported", ("reachable",): "supported"}


def test_targets_with_one_verdict_share_it(tmp_path):
    """They are listed all the same; rows without a target head are a part of the claim, and no target."""
    drops = {HEAD: 0.6, GC_FEATURE: 0.6, REACHABLE: 0.5, GC_FEATURE_REACHABLE: 0.5}
    found = judged(8, World(tmp_path).add("fine-tuning", drops))
    assert (found.overall, len(found.by_target)) == ("supported", 2)
    rows = {GC: 0.3, GC_REACHABLE: 0.3, TGDA: 0.3}
    harder = {GC: 0.5, GC_REACHABLE: 0.5, TGDA: 0.2}
    found = judged(6, World(tmp_path / "b").add("fine-tuning", rows).add("transfer", harder))
    assert found.by_target[()].overall == "not supported"
    assert (found.overall, len(found.by_target)) == ("not supported", 3)


def test_one_target_has_the_claims_own_verdict(tmp_path):
    world = World(tmp_path).add("fine-tuning", AS_CLAIMED).add("transfer", IN_TRANSFER)
    assert all(judged(number, world).by_target == {} for number in range(1, 11))


def test_a_target_that_only_one_victim_tells_apart(tmp_path):
    """The target heads differ for sgd100 only: the converged victim supports the claim at neither."""
    drops = {TGDA: 0.3, GC: 0.2, GC_REACHABLE: 0.5}
    found = judged(1, World(tmp_path).add("fine-tuning", drops, converged=0.0))
    assert [found.verdict(victim) for victim in VICTIMS] == ["depends on the target", "not supported"]
    assert found.by_target[("reachable",)].overall == "supported (sgd100 only: instability)"
    assert found.overall == "depends on the target"


def test_the_literal_protocol_is_that_of_all_targets_but_ours():
    literal = {name for name in making("target") if not load(name).ours}
    assert set(lu2024.LITERAL_TARGETS) == literal


def test_the_papers_own_numbers():
    published = lu2024.drops(PUBLISHED)
    assert published[Key("transfer", "emn-input", None, np.inf)] == 7.88
    counts = {claim.number: len(claim.compare(tuple(published))) for claim in CLAIMS}
    assert (counts[1], counts[5], counts[8], counts[9], counts[10]) == (8, 12, 6, 4, 4)


# Which numbers a claim compares


def key(row, scenario="fine-tuning", eps_d=0.1):
    return Key(eps_d=eps_d, **row.model_copy(update={"scenario": scenario}).model_dump())


def compared(number, *keys):
    claim = next(claim for claim in CLAIMS if claim.number == number)
    return [(comparison.plus, comparison.minus) for comparison in claim.compare(keys)]


def test_claims_are_numbered_from_one_to_ten():
    assert [claim.number for claim in CLAIMS] == list(range(1, 11))


@pytest.mark.parametrize(
    ("number", "plus", "minus"),
    [
        (1, GC, TGDA),
        (2, GC, GC_CONSTRAINED),
        (3, MATCHING, GC_CONSTRAINED),
        (5, MATCHING_SMALL_BETA, MATCHING),
        (7, FILTERED, GC_CONSTRAINED),
    ],
)
def test_a_claim_compares_two_rows_of_one_scenario_and_budget(number, plus, minus):
    others = [TGDA_CONSTRAINED, HEAD, GC_FEATURE]
    expected = [(key(plus), key(minus))]
    assert compared(number, key(plus), key(minus), *map(key, others)) == expected
    assert compared(number, key(plus), key(minus, eps_d=0.3)) == []
    assert compared(number, key(plus), key(minus, scenario="transfer")) == []


def test_a_row_is_compared_with_one_of_its_own_target():
    """Different targets are compared only where no row has the same one."""
    free, constrained = (key(GC), key(GC_REACHABLE)), (key(GC_CONSTRAINED), key(GC_CONSTRAINED_REACHABLE))
    assert compared(2, *free, *constrained) == list(zip(free, constrained, strict=True))
    assert compared(2, *free, constrained[1]) == [(free[1], constrained[1])]
    assert compared(2, free[0], *constrained) == [(free[0], constrained[0])]
    assert compared(2, free[0], constrained[1]) == [(free[0], constrained[1])]
    assert compared(1, *free, key(TGDA)) == [(one, key(TGDA)) for one in free]


def test_sets_and_defences_are_told_apart():
    """Constrained is not free, and filtered poisons are not the poisons themselves."""
    assert compared(1, key(GC_CONSTRAINED), key(TGDA)) == []
    assert compared(1, key(GC), key(TGDA_CONSTRAINED)) == []
    assert compared(3, key(FILTERED), key(GC_CONSTRAINED)) == []
    assert compared(7, key(MATCHING), key(GC_CONSTRAINED)) == []
    assert compared(5, key(MATCHING_SMALL_BETA), key(FILTERED)) == []
    capped = MATCHING.model_copy(update={"set": 2.0})
    assert compared(5, key(MATCHING_SMALL_BETA), key(capped)) == []
    assert compared(3, key(capped), key(GC_CONSTRAINED)) == [(key(capped), key(GC_CONSTRAINED))]
    assert compared(6, key(FILTERED, "transfer"), key(MATCHING, "fine-tuning")) == []


def test_other_pairings_and_labels_than_the_papers_are_no_rows_of_its_claims():
    smaller = MATCHING_SMALL_BETA
    for change in ({"pairing": "within-class"}, {"label": "base"}):
        other = MATCHING.model_copy(update=change)
        assert compared(3, key(other), key(GC_CONSTRAINED)) == []
        assert compared(5, key(smaller), key(other)) == []
        assert compared(6, key(MATCHING, "transfer"), key(other, "fine-tuning")) == []
    for cap in (2.0, 4.0):
        other = MATCHING.model_copy(update={"set": "emittable", "cap": cap})
        same = smaller.model_copy(update={"set": "emittable", "cap": 2.0})
        expected = [(key(same), key(other))] if cap == 2 else []
        assert compared(5, key(same), key(other)) == expected


def test_beta_is_compared_with_the_next_larger_one_only():
    betas = [key(MATCHING.model_copy(update={"beta": beta})) for beta in (0.25, 0.05, 0.1)]
    assert compared(5, *betas) == [(betas[1], betas[2]), (betas[2], betas[0])]


def test_decoder_inversion_is_judged_only_between_both_others():
    assert compared(4, key(DECODER), key(GC_CONSTRAINED)) == []
    assert compared(4, key(DECODER), key(MATCHING)) == []
    found = compared(4, key(DECODER), key(GC_CONSTRAINED), key(MATCHING), key(MATCHING_SMALL_BETA))
    assert found[0] == (key(DECODER), key(GC_CONSTRAINED))
    assert set(found[1:]) == {(key(MATCHING), key(DECODER)), (key(MATCHING_SMALL_BETA), key(DECODER))}


def test_a_target_is_that_which_the_row_names():
    other = GC_FEATURE.model_copy(update={"target": "gradpc-input"})
    theirs = key(HEAD.model_copy(update={"method": "gradpc-input"}), eps_d=0.03)
    ours = key(HEAD, eps_d=0.03)
    assert compared(8, key(GC_FEATURE, eps_d=0.03), ours, theirs) == [(key(GC_FEATURE, eps_d=0.03), ours)]
    assert compared(8, key(other, eps_d=0.03), ours, theirs) == [(key(other, eps_d=0.03), theirs)]
    assert compared(8, key(GC_FEATURE), key(HEAD)) == []  # at another budget than 0.03
