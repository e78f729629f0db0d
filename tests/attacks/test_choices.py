"""The segment of a path that says which attack with which choices: there and back."""

import re
from typing import get_args

import pytest
from featpoison.attacks import names
from featpoison.attacks.choices import NUMBER, PATTERN, Choice, Pairing, number, parse
from hypothesis import given
from hypothesis import strategies as st

positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
pairings = st.sampled_from(
    [(None, None), ("within-class", None), (None, "base"), ("random", None), ("random", "base")]
)
"""Where base images come from, and whose labels poisons get, of an attack that looks among all images."""
targets = st.sampled_from([None, *names.making("target")])


@st.composite
def choices(draw):
    """A choice of any attack that has the set, the beta and the target that it may have."""
    attack = names.load(draw(st.sampled_from(names.NAMES)))
    kept_in = draw(st.sampled_from(attack.sets)) if attack.sets else None
    kept_in = draw(positive) if kept_in == "cap" else kept_in
    cap = draw(positive) if kept_in == "emittable" else None
    beta = draw(positive) if attack.has_beta else None
    pairing, label = draw(pairings) if attack.pairing == "all" else (None, None)
    target = draw(targets) if names.is_targeted(attack.name) else None
    choice = Choice(
        method=attack.name, set=kept_in, cap=cap, beta=beta, pairing=pairing, label=label, target=target
    )
    attack.check(choice)
    return choice


@st.composite
def any_choice(draw):
    """A choice that no attack need have."""
    kept_in = draw(st.one_of(st.sampled_from([None, "free", "valid", "constrained", "emittable"]), positive))
    return Choice(
        method=draw(st.sampled_from(names.NAMES)),
        set=kept_in,
        cap=draw(positive) if kept_in == "emittable" else None,
        beta=draw(st.one_of(st.none(), positive)),
        pairing=draw(st.sampled_from([None, *get_args(Pairing)])),
        label=draw(st.sampled_from([None, "base"])),
        target=draw(targets),
    )


@given(st.one_of(choices(), any_choice()))
def test_a_segment_says_all_of_a_choice(choice):
    segment = choice.segment
    assert parse(segment) == choice
    assert parse(segment).segment == segment
    assert re.fullmatch(r"[a-z0-9._-]+", segment)  # fit for a path and for a wildcard
    assert re.fullmatch(PATTERN, segment)


@given(any_choice(), any_choice())
def test_other_choices_have_other_segments(first, second):
    assert (first == second) == (first.segment == second.segment)


@given(positive)
def test_a_number_comes_back_from_its_text(value):
    assert float(number(value)) == value
    assert re.fullmatch(NUMBER, number(value))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.03, "0.03"), (1.0, "1"), (2, "2"), (1e6, "1e06"), (0.00001, "1e-05"), (0.12345678, "0.12345678")],
)
def test_numbers_are_short(value, text):
    assert number(value) == text


MATCHING = {"method": "feature-matching", "set": "emittable", "cap": 4.0, "beta": 0.1}


@pytest.mark.parametrize(
    ("choice", "segment"),
    [
        ({"method": "tgda-input", "set": "free"}, "tgda-input_free"),
        (
            {"method": "gc-input", "set": "constrained", "target": "gradpc-feature"},
            "gc-input_constrained_gradpc-feature",
        ),
        (
            {"method": "feature-matching", "set": 2.0, "beta": 0.1, "target": "gradpc-feature"},
            "feature-matching_cap2_beta0.1_gradpc-feature",
        ),
        (
            {"method": "exact-feature-matching", "set": 1.0, "beta": 0.1},
            "exact-feature-matching_cap1_beta0.1",
        ),
        ({"method": "emn-input"}, "emn-input"),
        (
            {"method": "gc-feature", "set": "emittable", "cap": 4.0, "target": "reachable-bounded"},
            "gc-feature_emittable4_reachable-bounded",
        ),
        ({"method": "gc-input", "set": "valid", "target": "permuted"}, "gc-input_valid_permuted"),
        (
            MATCHING | {"pairing": "within-class", "target": "reachable"},
            "feature-matching_emittable4_beta0.1_within-class_reachable",
        ),
        (
            MATCHING | {"pairing": "random", "target": "random-step"},
            "feature-matching_emittable4_beta0.1_random_random-step",
        ),
        (
            {"method": "exact-feature-matching", "set": 1.0, "beta": 0.1, "pairing": "all"},
            "exact-feature-matching_cap1_beta0.1_all",
        ),
        (
            MATCHING | {"label": "base", "target": "gradpc-feature"},
            "feature-matching_emittable4_beta0.1_base-label_gradpc-feature",
        ),
    ],
)
def test_segments_are_those_of_the_documented_paths(choice, segment):
    assert Choice(**choice).segment == segment
    assert parse(segment) == Choice(**choice)


GARBAGE = [
    "",
    "_",
    "gc-input_",
    "GC-input_free",
    "gc input_free",
    "gc-input/free",
    "gc-input_free\n",
    "_free",
    "gc-input_free_constrained_gradpc-feature",
    "gc-input_gradpc-feature_free",
    "feature-matching_beta0.1_cap2_gradpc-feature",
    "gc-feature_cap0_gradpc-feature",
    "feature-matching_free_beta0_gradpc-feature",
    "gc-feature_cap1e999",
    "gc-feature_emittable_reachable",
    "gc-feature_emittable0_reachable",
    "gc-feature_cap_reachable",
    "feature-matching_free_beta0.1_base-label_within-class_reachable",
    "feature-matching_free_within-class_beta0.1_reachable",
    "feature-matching_free_beta0.1_reachable_base-label",
    "0.1",
]


@pytest.mark.parametrize("text", GARBAGE)
def test_garbage_is_named(text):
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        parse(text)


@given(st.text(max_size=40))
def test_any_text_is_a_segment_or_named(text):
    try:
        fits = bool(re.fullmatch(PATTERN, parse(text).segment))
    except ValueError as error:
        fits = repr(text) in str(error)
    assert fits


@pytest.mark.parametrize(
    "wrong",
    [
        {"set": "open"},
        {"set": 0.0},
        {"set": -1.0},
        {"set": float("inf")},
        {"beta": 0.0},
        {"beta": float("nan")},
        {"cap": 2.0},
        {"cap": 2.0, "set": "free"},
        {"cap": 2.0, "set": 2.0},
        {"cap": None, "set": "emittable"},
        {"cap": 0.0, "set": "emittable"},
        {"pairing": "farthest"},
        {"label": "zeta"},
    ],
)
def test_a_choice_that_no_row_can_have_is_an_error(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Choice(method="feature-matching", **wrong)


@pytest.mark.parametrize(
    ("method", "pairing", "label", "fits"),
    [
        ("feature-matching", None, "base", True),
        ("feature-matching", "random", "base", True),
        ("feature-matching", "within-class", "base", False),  # it is the label anyway
        ("feature-matching", "all", None, False),  # what it does anyway
        ("exact-feature-matching", "all", None, True),
        ("exact-feature-matching", "random", None, True),
        ("exact-feature-matching", "within-class", None, False),
        ("exact-feature-matching", None, "base", False),
        ("exact-feature-matching", "all", "base", True),
        ("exact-feature", "random", None, False),  # it pairs nothing
        ("exact-feature", None, "base", False),
    ],
)
def test_a_row_says_a_pairing_only_where_it_is_another_than_the_usual(method, pairing, label, fits):
    beta = 0.1 if method.endswith("matching") else None
    target = "permuted" if names.is_targeted(method) else None
    choice = Choice(method=method, set=1.0, beta=beta, pairing=pairing, label=label, target=target)
    if fits:
        names.check(choice)
        return
    wrong = "label" if label else "pairing"
    with pytest.raises(
        ValueError, match=f"'{wrong}' is {getattr(choice, wrong)!r}, expected none .*{method}"
    ):
        names.check(choice)


def test_a_norm_cap_is_a_number_or_that_of_emittable_features():
    assert Choice(method="gc-feature", set=2.0).norm_cap == 2
    assert Choice(method="gc-feature", set="emittable", cap=3.0).norm_cap == 3
    for kept_in in (None, "free", "constrained"):
        assert Choice(method="gc-feature", set=kept_in).norm_cap is None


def test_the_pattern_of_wildcards_names_no_groups():
    assert re.compile(PATTERN).groupindex == {}
    assert re.compile(PATTERN).groups == 0


@pytest.mark.parametrize("name", names.NAMES)
def test_no_attack_reads_as_a_set_or_a_beta(name):
    """Or a target of this name would be taken for one."""
    assert parse(f"gc-input_{name}") == Choice(method="gc-input", target=name)
