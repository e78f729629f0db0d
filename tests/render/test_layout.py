"""The lines and notes of tables."""

import dataclasses

import pytest
from featpoison.render import layout
from oracles.pictures import CELLS, FACTS


def test_lines_show_paper_ours_and_facts():
    target, attack = layout.lines_of(CELLS)
    assert attack.title == "Feature matching (beta = 0.25)"
    drops = ("1.50 [0.50, 2.50]", "1.50 [0.50, 2.50]")
    assert attack.cells == (("6.30", *drops, "0.750", "1.25", ""), ("", *drops, "0.750", "1.25", ""))
    assert target.cells[0] == ("36.71", "10.00 [9.00, 11.00]", "", "", "", "")
    notes = " ".join(layout.notes_of(CELLS, FACTS))
    assert "tau = 1.500" in notes
    assert "95 % interval over poison seeds, victim seeds and test images" in notes
    assert "more than 0.25 points" in notes


def test_rows_have_the_papers_colours():
    """White for heads and features, blue for attacks in input space, pink for those that aim at features."""
    groups = {}
    for group in ("none", "input", "targeted"):
        (line,) = layout.lines_of([dataclasses.replace(CELLS[2], group=group)])
        groups[group] = [int(line.tint[i : i + 2], 16) for i in (0, 2, 4)]
    red, green, blue = zip(*(groups[group] for group in ("none", "input", "targeted")), strict=True)
    assert (red[0], green[0], blue[0]) == (255, 255, 255)
    assert blue[1] > red[1]
    assert red[2] > max(green[2], blue[2])


@pytest.mark.parametrize(
    "change", [{"title": "GC-input"}, {"set": "constrained"}, {"target": "reachable"}, {"set": "2"}]
)
def test_rows_that_differ_in_title_set_or_target_are_lines_of_their_own(change):
    other = [dataclasses.replace(cell, **change) for cell in CELLS[2:]]
    lines = layout.lines_of(CELLS + other)
    assert len(lines) == 3
    assert lines[1] != lines[2]
    words = layout.words_of(lines[2], CELLS)
    assert (next(iter(change.values())) if change != {"set": "2"} else "norm 2") in words


def test_notes_tell_of_8_bits_and_of_removed_poisons():
    cells = [
        dataclasses.replace(cell, drop_8bit=cell.drop + change)
        for cell, change in zip(CELLS[2:], (0.1, -0.75, 0, 0), strict=True)
    ]
    notes = " ".join(layout.notes_of(CELLS[:2] + cells, FACTS))
    assert "no drop changes by more than 0.75 points" in notes
    assert "Feature matching (beta = 0.25), converged, eps_d = 0.03: 1.50 to 0.75" in notes
    filtered = [
        dataclasses.replace(cell, poisons=90.0, removed=60.0, defence="magnitude-filter")
        for cell in CELLS[2:]
    ]
    assert "60 of 150" in " ".join(layout.notes_of(filtered, FACTS))
    assert "60 of 150" not in " ".join(layout.notes_of(CELLS, FACTS))


def test_tables_of_noise_have_columns_of_their_own():
    network = dataclasses.replace(
        CELLS[2], victim="network", makes="noise", title="EMN", tau=None, eps_d=float("inf")
    )
    assert layout.columns_of([network]) == ("paper", "network", "sgd100", "converged", "clean")
    (line,) = layout.lines_of([network])
    assert line.cells == (("6.30", "1.50 [0.50, 2.50]", "", "", "60.00"),)
    assert layout.columns_of([*CELLS, network]) == layout.columns_of(CELLS)
    assert layout.columns_of(CELLS)[0] == "paper"
    assert layout.budgets_of([network]) == [pytest.approx(float("inf"))]


def test_only_a_table_with_the_papers_numbers_shows_a_column_of_them():
    own = [dataclasses.replace(cell, published_drop=None) for cell in CELLS]
    assert layout.columns_of(own) == layout.columns_of(CELLS)[1:]
    for line, printed in zip(layout.lines_of(own), layout.lines_of(CELLS), strict=True):
        assert line.cells == tuple(texts[1:] for texts in printed.cells)
    notes = " ".join(layout.notes_of(own, FACTS))
    assert "paper" not in notes
    assert "the paper's, then ours" in " ".join(layout.notes_of(CELLS, FACTS))


def test_notes_name_what_is_not_run():
    missing = ("GC-input free reachable at eps_d = 0.5 and 1", "EMN at eps_d = inf")
    facts = dataclasses.replace(FACTS, missing=missing)
    assert layout.notes_of(CELLS, facts)[-1] == f"Not run yet: {'; '.join(missing)}."
    assert not any("Not run yet" in note for note in layout.notes_of(CELLS, FACTS))
