import logging

import pytest
from featpoison.common import progress
from featpoison.common.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds, set by the test."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_every_ten_seconds_and_one_at_the_end(clock, caplog):
    caplog.set_level(logging.INFO)
    work = Progress(100, "images", done=40)
    for second in range(1, 31):
        clock[0] = float(second)
        work.advance(2, note=f"second {second}")
    assert [record.message for record in caplog.records] == [
        "60 of 100 (60 %) images, 2 a second, 20 s left; second 10",
        "80 of 100 (80 %) images, 2 a second, 10 s left; second 20",
        "100 of 100 (100 %) images, 2 a second, 0 s left; second 30",
    ]


def test_an_unknown_total(clock, caplog):
    caplog.set_level(logging.INFO)
    work = Progress(0, "bytes")
    clock[0] = 10.0
    work.advance(500)
    assert caplog.records[-1].message == "500 bytes, 50 a second"
