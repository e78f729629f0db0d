"""The table of defences in texts."""

from dataclasses import replace

from featpoison.render.defence_table import HEADS, attack_text, lines_of, notes_of, table_of, worst_of
from featpoison.render.plain_table import draw, to_latex
from featpoison.render.style import save
from featpoison.results.defence_cells import DefenceCell

CELL = DefenceCell(
    method="gc-feature",
    attack="GC-feature",
    set="emittable",
    cap=4.0,
    target="reachable",
    eps_d=0.1,
    defence="sever",
    title="Sever",
    victim="sgd100",
    seeds="2x2",
    clean_accuracy=63.0,
    attacked_accuracy=32.0,
    attacked_drop=31.0,
    attacked_low=29.0,
    attacked_high=33.0,
    defended_clean_accuracy=62.4,
    cost=0.6,
    cost_low=0.1,
    cost_high=1.1,
    defended_accuracy=60.0,
    drop=3.0,
    drop_low=2.0,
    drop_high=4.0,
    gain=28.0,
    gain_low=26.0,
    gain_high=30.0,
    precision=58.7,
    recall=64.6,
    clean_lost=4.54,
    seconds=2.9,
    source="a.h5",
)


def row(**changes):
    """The two cells of a row."""
    first = replace(CELL, **changes)
    return [
        first,
        replace(first, victim="converged", seeds="2x1", defended_accuracy=59.0, clean_accuracy=61.0),
    ]


def test_an_attack_stands_without_a_defence_first():
    none, defended, other = lines_of(row() + row(source="b.h5", title="random filter"))
    assert dict(zip(HEADS[:4], none, strict=False)) == {
        "Attack": "GC-feature, emittable 4, reachable",
        "Defence": "none",
        "budget": "0.1",
        "clean": "63.0 / 61.0",
    }
    assert none[4:] == ("32.0", "31.0 [29.0, 33.0]", "32.0", "31.0 [29.0, 33.0]", "-", "-", "-", "-")
    assert defended[1:4] == ("Sever", "0.1", "62.4 / 62.4")
    assert defended[4:8] == ("60.0", "3.0 [2.0, 4.0]", "59.0", "3.0 [2.0, 4.0]")
    assert defended[8:] == ("58.7", "64.6", "4.5", "2.9")
    assert other[1] == "random filter"


def test_budgets_and_attacks_begin_anew():
    lines = lines_of(row() + row(source="b.h5", eps_d=0.03) + row(source="c.h5", set="2", cap=None))
    assert [line[1] for line in lines] == ["none", "Sever"] * 3
    assert lines[-1][0] == attack_text(row(set="2", cap=None)[0]) == "GC-feature, norm 2, reachable"


def test_what_does_not_exist_is_a_dash():
    (_, line) = lines_of(row(precision=None, recall=None, clean_lost=None)[:1])
    assert line[6:11] == ("-", "-", "-", "-", "-")
    assert line[3] == "62.4"


def attacked(source, sgd100, converged, **changes):
    """The two cells of a row with these drops; its attack is named as its file."""
    first, second = row(source=source, attack=source, set=None, cap=None, target=None, **changes)
    return [replace(first, drop=sgd100), replace(second, drop=converged)]


def test_the_worst_of_a_defence_are_the_attacks_that_leave_either_victim_most():
    sever, jpeg = {"title": "Sever"}, {"title": "JPEG", "defence": "jpeg"}
    cells = attacked("a", 5.0, 1.0, **sever) + attacked("b", 2.0, 4.0, **sever)
    cells += attacked("c", 3.0, 3.0, **sever) + attacked("d", 7.0, 9.0, **sever, eps_d=0.03)
    cells += attacked("e", -1.0, 4.5, **jpeg) + attacked("f", -2.0, 4.0, **jpeg)
    cells += attacked("g", 8.0, 0.0, defence="median-of-means", title="median")[:1]
    found = [line[:3] for line in worst_of(cells)]
    later = [("e", "JPEG", "0.1"), ("a", "Sever", "0.1"), ("b", "Sever", "0.1"), ("g", "median", "0.1")]
    assert found == [("d", "Sever", "0.03"), *later]
    assert set(worst_of(cells)) <= set(lines_of(cells))


def test_latex_and_picture_hold_every_line(tmp_path):
    table = table_of(row() + row(source="b.h5", title="random filter", defence="random-filter"))
    text = to_latex(table, ["a.csv sha256 0"])
    _, every, worst = text.split(r"\bottomrule")[0].split(r"\midrule")
    for body, count in ((every, 3), (worst, 2)):
        assert [line.count(" & ") for line in body.strip().splitlines()] == [len(HEADS) - 1] * count
    assert "2x1 (converged), 2x2 (sgd100)" in " ".join(notes_of(row()))
    for name in ("a", "b"):
        save(draw(table), tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
