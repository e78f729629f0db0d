"""Objects as lines of a CSV, and back."""

import math
from dataclasses import dataclass

import pytest
from featpoison.results.csv_text import from_csv, to_csv
from hypothesis import given
from hypothesis import strategies as st


@dataclass(frozen=True)
class Line:
    """One field of each type that cells have."""

    word: str
    maybe_word: str | None
    number: float
    maybe_number: float | None
    count: int
    truth: bool


numbers = st.floats(-1e6, 1e6).map(lambda value: float(f"{value:.6g}"))
words = st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=12)
lines = st.builds(
    Line,
    word=words,
    maybe_word=st.none() | words.filter(bool),
    number=numbers | st.just(math.inf),
    maybe_number=st.none() | numbers,
    count=st.integers(-99, 10**9),
    truth=st.booleans(),
)


@given(st.lists(lines, max_size=4))
def test_lines_come_back_with_their_types(given_lines):
    text = to_csv(Line, given_lines)
    assert text.splitlines()[0] == "word,maybe_word,number,maybe_number,count,truth"
    found = from_csv(Line, text)
    assert found == given_lines
    assert [type(one.count) for one in found] == [int] * len(found)


def test_other_columns_are_an_error():
    with pytest.raises(
        ValueError, match=r"columns are \['word', 'number'\], expected \['word', 'maybe_word'"
    ):
        from_csv(Line, "word,number\na,1\n")
