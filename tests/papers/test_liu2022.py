"""Which rows each statement about PoisonedEncoder compares."""

import pytest
from featpoison.attacks import pretraining_names
from featpoison.papers.liu2022 import ATTACK, STATEMENTS
from featpoison.results.target_claims import SuccessGap, UtilityKept
from target_rows import target_row

BASE = target_row()
ROWS = {
    "base": BASE,
    "references": target_row(attack="Reference images alone"),
    "screened": target_row(defence="the densest 20 % left out", plain=False),
    "stopped": target_row(defence="stopped after 4 of 8 epochs", epochs=4),
    "tuned-100": target_row(defence="fine-tuned on 100 images", tuning_images=100, tuning_epochs=9),
    "tuned-900": target_row(defence="fine-tuned on 900 images", tuning_images=900, tuning_epochs=9),
    "tuned-300": target_row(defence="fine-tuned on 300 images", tuning_images=300, tuning_epochs=9),
    "tuned-twice": target_row(defence="fine-tuned twice", tuning_images=400, tuning_epochs=9, plain=False),
    "no-crops": target_row(defence="no crops", smallest_crop=None),
    "large": target_row(defence="crops of 0.5 to 1", smallest_crop=0.5),
    "large-tuned": target_row(defence="both", smallest_crop=0.5, tuning_images=500, tuning_epochs=9),
    "large-screened": target_row(defence="both", smallest_crop=0.5, plain=False),
    "large-references": target_row(attack="Reference images alone", smallest_crop=0.5),
    "large-stopped": target_row(defence="both", smallest_crop=0.5, epochs=4),
    "small": target_row(defence="crops of 0.1 to 1", smallest_crop=0.1),
    "other-rate": target_row(rate=0.1, measures=("c.h5",)),
    "twins": target_row(defence="loss of Barlow Twins", loss="Barlow Twins", plain=False),
}


def compared(number):
    """The names of the rows on both sides of each comparison of a statement."""
    names = {id(row): name for name, row in ROWS.items()}
    statement = next(one for one in STATEMENTS if one.number == number)
    found = []
    for one in statement.compare(list(ROWS.values())):
        minus = one.minus if isinstance(one, SuccessGap) else one.within
        found.append((names[id(one.plus)], names.get(id(minus), minus)))
    return found


def test_the_attack_is_the_one_of_this_name():
    assert pretraining_names.load("poisoned-encoder").title == ATTACK
    assert [one.number for one in STATEMENTS] == list(range(1, len(STATEMENTS) + 1))


def test_what_each_statement_compares():
    assert compared(1) == [("base", None), ("other-rate", None)]
    assert compared(4) == [("base", 2.0), ("other-rate", 2.0)]
    assert compared(5) == [("base", "tuned-100"), ("base", "tuned-300"), ("base", "tuned-900")]
    tuned = ("tuned-100", "tuned-300", "large-tuned", "tuned-900")
    assert compared(6) == [(name, 2.0) for name in tuned]
    assert compared(7) == [("tuned-100", "tuned-300"), ("tuned-300", "tuned-900")]
    assert compared(8) == [("base", "no-crops"), ("base", "large")]
    assert compared(9) == [("twins", None)]


def test_tasks_are_compared_within_themselves():
    other = target_row(task="numbers", defence="fine-tuned on 100 images", tuning_images=100, tuning_epochs=9)
    rows = [BASE, other, ROWS["tuned-300"]]
    for number in (5, 7):
        found = STATEMENTS[number - 1].compare(rows)
        assert all(one.plus.task == one.minus.task for one in found)
    assert isinstance(STATEMENTS[5].compare(rows)[0], UtilityKept)


@pytest.mark.parametrize("number", [2, 3])
def test_what_is_not_defined_is_not_judged(number):
    statement = STATEMENTS[number - 1]
    assert statement.compare is None
    assert "is not defined here" in statement.note
