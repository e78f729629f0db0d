"""The page of statements: verdicts, comparisons in words, numbers."""

import pytest
from featpoison.papers.liu2022 import STATEMENTS
from featpoison.render.statements_page import page
from featpoison.results.bootstrap import Interval
from featpoison.results.target_claims import Finding, Judgement, SuccessGap, UtilityKept
from target_rows import row as cells_of_row
from target_rows import target_row

ROW = target_row()
TUNED = target_row(defence="fine-tuned on 9 images", tuning_images=9)
UP, DOWN, WIDE = Interval(40.0, 12.34, 60.0), Interval(-30.0, -50.0, -5.0), Interval(5.0, -20.0, 30.0)


def judgement(number, *findings, converged=()):
    found = {
        "sgd100": [Finding(comparison, value, 10) for comparison, value in findings],
        "converged": [Finding(comparison, value, 10) for comparison, value in converged or findings],
    }
    return Judgement(STATEMENTS[number - 1], found)


@pytest.fixture
def text():
    gap, fall = SuccessGap(ROW, TUNED), UtilityKept(ROW, 2.0)
    judgements = [
        judgement(1, (SuccessGap(ROW, None), UP), converged=[(SuccessGap(ROW, None), WIDE)]),
        judgement(2),
        judgement(4, (fall, Interval(0.5, -0.4, 1.6))),
        judgement(5, (gap, UP), (gap, DOWN)),
        judgement(9),
    ]
    return page(judgements, {(cell.source, cell.victim): cell for cell in cells_of_row()})


def test_verdicts_count_their_comparisons(text):
    assert "| 1 | The attack works: targets are given" in text
    assert "| supported (1 of 1) | not supported (0 of 1) |" in text
    assert "**Depends on the victim.**" in text
    assert "| not supported (1 of 2, 1 opposite) | not supported (1 of 2, 1 opposite) |" in text
    assert "| not judged | not judged |" in text
    assert "**Not judged.** ICP is not defined here:" in text
    assert "**Not run.** The review's open question.\n\nThe table has no rows to compare." in text


def test_comparisons_stand_in_words_and_numbers(text):
    assert (
        "| PoisonedEncoder, 1 % > `clean` | letters | 10 | 40.0 [12.3, 60.0], yes | 5.0 [-20.0, 30.0], no |"
    ) in text
    assert "| PoisonedEncoder, 1 % > PoisonedEncoder, 1 %, fine-tuned on 9 images | letters | 10 |" in text
    assert "-30.0 [-50.0, -5.0], opposite" in text
    assert (
        "PoisonedEncoder, 1 %: accuracy falls by at most 2 points | letters | 10 | 0.5 [-0.4, 1.6], yes"
        in text
    )


def test_the_numbers_of_every_row_stand_below(text):
    assert (
        "| PoisonedEncoder, 1 % | letters | sgd100 | 40.0 [12.2, 73.8] | 10.0 [0.3, 44.5] | 61.2 | 62.0 | "
        "0.8 [-0.2, 1.8] |"
    ) in text
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.endswith("|")
