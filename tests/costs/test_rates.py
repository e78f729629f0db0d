"""Core hours: of what jobs start in, of what they do besides, and of their operations."""

import math

import pytest
from featpoison.attacks import names
from featpoison.attacks.operations import Work
from featpoison.config import load
from featpoison.costs import plan, rates
from helpers import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

DEMO = load(ROOT / "workflow/config/demo.yaml")
COUNTS = st.floats(0, 1e18)


def test_core_hours_are_what_the_rate_says(monkeypatch):
    monkeypatch.setitem(rates.RATES, "a rule", rates.Rate(2e9, 3.0, "nowhere"))
    found = rates.core_hours("a rule", 5, Work(4e9, 6e9, 1e30), start=0.5)
    assert found == pytest.approx((5 * (0.5 + 3.0) + 10e9 / 2e9) / 3600)


@settings(max_examples=10)  # of each of the rates
@given(jobs=st.integers(1, 1000), flops=COUNTS, double=COUNTS, more=COUNTS)
@pytest.mark.parametrize("name", rates.RATES)
def test_more_work_and_colder_starts_never_cost_less(name, jobs, flops, double, more):
    warm = rates.core_hours(name, jobs, Work(flops, double), start=rates.WARM_START)
    assert 0 < warm <= rates.core_hours(name, jobs, Work(flops + more, double), start=rates.WARM_START)
    assert warm <= rates.core_hours(name, jobs, Work(flops, double + more), start=rates.WARM_START)
    cold = rates.core_hours(name, jobs, Work(flops, double), start=rates.COLD_START)
    assert cold - warm == pytest.approx(
        jobs * (rates.COLD_START - rates.WARM_START) / 3600, rel=1e-3, abs=warm / 1e9
    )


def test_a_rule_and_attack_has_its_own_rate_or_its_rules_or_that_of_passes(monkeypatch):
    of_rule, own = rates.Rate(1e9, 0.0, "rule"), rates.Rate(2e9, 0.0, "attack")
    monkeypatch.setitem(rates.RATES, "some_rule", of_rule)
    monkeypatch.setitem(rates.RATES, "some_rule attack", own)
    assert rates.rate_of("some_rule attack") is own
    assert rates.rate_of("some_rule other") is of_rule
    assert rates.rate_of("some_rule") is of_rule
    assert rates.rate_of("another") is rates.PASSES


def test_rates_are_of_rules_and_attacks_that_there_are():
    known = set(names.load_all())
    for name, rate in rates.RATES.items():
        rule, _, attack = name.partition(" ")
        assert rate.source
        assert rate.seconds >= 0
        assert rate.flops > 0
        if attack:
            assert rule in plan.ATTACK_RULES
            assert attack in known


def test_an_infinite_rate_is_for_work_that_is_not_planned():
    for name, rate in rates.RATES.items():
        rule = name.split(" ")[0]
        if math.isinf(rate.flops):
            assert rule not in plan.WORK
