"""Rows and requests: what JSON says of them and what it may not say."""

import json
import math

import pytest
from featpoison.results.rows import Row, read_request

CELL = {
    "row": {"method": "gc-input", "set": "free"},
    "eps_d": 0.03,
    "source": "v.h5",
    "makes": "images",
    "title": "T",
}


def test_the_attacks_part_of_a_row_is_its_choice():
    row = Row(
        method="feature-matching", set=2.0, beta=0.1, target="gradpc-feature", defence="magnitude-filter"
    )
    assert row.model_copy(update={"scenario": "transfer"}).choice == row.choice
    assert row.choice.segment == "feature-matching_cap2_beta0.1_gradpc-feature"


@pytest.mark.parametrize("written", ["inf", math.inf])
def test_an_infinite_budget_has_a_word_in_json(written):
    text = json.dumps(CELL | {"eps_d": written})
    assert read_request(json.loads(text)).eps_d == math.inf


def test_a_request_comes_back_as_it_was():
    request = read_request(CELL)
    assert (request.row.method, request.eps_d, request.group) == ("gc-input", 0.03, "none")
    assert read_request(request.model_dump()) == request


@pytest.mark.parametrize(
    "change",
    [
        {"makes": "noises"},
        {"group": "green"},
        {"colour": 1},
        {"row": {"method": "gc-input", "set": "open"}},
        {"row": {"method": "gc-input", "set": -1.0}},
        {"eps_d": "much"},
    ],
)
def test_what_does_not_fit_is_refused(change):
    with pytest.raises(ValueError, match=r"\w"):
        read_request(CELL | change)
