import pytest
from featpoison.common.settings import Settings
from pydantic import PositiveInt, ValidationError


class Example(Settings):
    count: PositiveInt = 3
    """How many."""
    share: float = 0.5


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"counts": 3}, "counts\n.*not permitted"),
        ({"count": "3"}, "count\n.*valid integer.*input_value='3'"),
        ({"count": 0}, "count\n.*greater than 0"),
        ({"share": float("nan")}, "share\n.*finite"),
    ],
)
def test_what_is_wrong_is_named(values, named):
    with pytest.raises(ValidationError, match=f"(?s){named}"):
        Example.model_validate(values)


def test_settings_do_not_change_and_their_fields_are_documented():
    with pytest.raises(ValidationError, match="frozen"):
        Example().count = 4
    assert Example.model_json_schema()["properties"]["count"]["description"] == "How many."
