"""The figure of drops against budgets."""

from dataclasses import replace

import pytest
from featpoison.render import growth
from featpoison.render.style import save
from featpoison.results.cells import Cell
from matplotlib.colors import to_rgb
from oracles.pictures import NUMBERS, assert_drawn, texts

CELL = Cell(
    **NUMBERS,
    published_drop=36.61,
    source="one.h5",
    set="free",
    target="reachable",
    makes="features",
)
BASELINE = replace(CELL, title="Wrong labels", set=None, target=None, makes="images", published_drop=None)


def at(cell, *budgets):
    """The cells of both victims; the drop at a budget is ten times as many points, one less if converged."""
    return [
        replace(cell, eps_d=budget, victim=victim, drop=drop, drop_low=drop - 1, drop_high=drop + 2)
        for budget in budgets
        for victim, drop in (("sgd100", 10 * budget), ("converged", 10 * budget - 1))
    ]


def lines(axes):
    """The points of each line with a name."""
    drawn = {container.get_label(): container.lines[0] for container in axes.containers}
    drawn |= {line.get_label(): line for line in axes.get_lines() if not line.get_label().startswith("_")}
    return {name: list(map(tuple, line.get_xydata())) for name, line in drawn.items()}


def test_lines_are_the_drops_by_budget_whatever_the_order_of_cells(tmp_path):
    permuted = replace(CELL, target="permuted")
    cells = [*at(CELL, 1.0, 0.1), *at(permuted, 0.1, 1.0), *at(CELL, 0.5), *at(BASELINE, 0.1, 0.5)]
    figure = growth.draw(cells)
    features, _, wrong, _ = figure.axes
    assert lines(features) == {
        "GC-feature, free, reachable": [(0.1, 1), (0.5, 5), (1, 10)],
        "GC-feature, free, permuted": [(0.1, 1), (1, 10)],
        "the paper: GC-feature": [(0.1, 36.61), (0.5, 36.61), (1, 36.61)],
    }
    assert lines(wrong) == {"Wrong labels": [(0.1, 1), (0.5, 5)]}
    assert lines(figure.axes[1])["GC-feature, free, reachable"] == [(0.1, 0), (0.5, 4), (1, 9)]
    assert all(word in texts(figure) for word in ("10 %", "50 %", "100 %", "sgd100", "converged"))
    assert_drawn(figure)
    save(figure, tmp_path / "growth.png")


def test_bars_are_the_intervals():
    (axes, _) = growth.draw(at(CELL, 0.1, 0.2)).axes
    (bars,) = axes.containers[0].lines[2]
    assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [[0, 3], [1, 4]]


def test_drops_that_the_paper_has_for_each_set_are_told_apart():
    constrained = replace(CELL, set="constrained", published_drop=2.5)
    permuted = replace(CELL, target="permuted")
    found = growth.published(
        growth.grown([*at(CELL, 0.1, 0.2), *at(constrained, 0.1, 0.2), *at(permuted, 0.1, 0.3)])
    )
    assert found == {
        "GC-feature": growth.Published(
            {0.1: 36.61, 0.2: 36.61, 0.3: 36.61},
            ["GC-feature, free, reachable", "GC-feature, free, permuted"],
        ),
        "GC-feature, constrained": growth.Published(
            {0.1: 2.5, 0.2: 2.5}, ["GC-feature, constrained, reachable"]
        ),
    }


def papers(figure):
    """Of the first panel: the paper's lines, and the colours of ours by name."""
    axes = figure.axes[0]
    theirs = [line for line in axes.get_lines() if line.get_label().startswith("the paper")]
    return theirs, {bars.get_label(): to_rgb(bars.lines[0].get_color()) for bars in axes.containers}


def test_the_papers_line_has_the_colour_of_the_only_one_beside_it():
    other = replace(CELL, title="Exact", published_drop=None)
    decoder = replace(CELL, title="Decoder", published_drop=5.0)
    theirs, ours = papers(growth.draw([*at(other, 0.1, 0.2), *at(CELL, 0.1, 0.2), *at(decoder, 0.1, 0.2)]))
    assert [to_rgb(line.get_color()) for line in theirs] == list(ours.values())[1:]
    assert {line.get_linestyle() for line in theirs} == {"--"}


def test_papers_lines_beside_several_are_grey_and_told_apart():
    both = [replace(CELL, title=title, target=target) for title in "AB" for target in ("one", "two")]
    theirs, ours = papers(growth.draw([cell for one in both for cell in at(one, 0.1, 0.2)]))
    assert len(theirs) == 2
    assert len({line.get_linestyle() for line in theirs} - {"--"}) == 2
    assert not {to_rgb(line.get_color()) for line in theirs} & set(ours.values())


def test_images_have_panels_by_what_moves_them():
    moved, following = (
        replace(CELL, title=group, makes="images", group=group) for group in ("input", "targeted")
    )
    figure = growth.draw([cell for one in (moved, following, BASELINE) for cell in at(one, 0.1, 0.2)])
    assert [next(iter(lines(axes))).split(",")[0] for axes in figure.axes[::2]] == [
        "input",
        "targeted",
        "Wrong labels",
    ]


def test_more_lines_than_markers_are_all_drawn():
    cells = [cell for number in range(12) for cell in at(replace(CELL, target=str(number)), 0.1, 0.2)]
    assert len(growth.draw(cells).axes[0].containers) == 12


def test_what_has_one_budget_is_no_line():
    once, head = replace(CELL, target="permuted"), replace(CELL, victim="target")
    named = growth.grown([*at(CELL, 0.1, 0.2), *at(once, 0.1), head, replace(head, eps_d=0.5)])
    assert list(named) == ["GC-feature, free, reachable"]


@pytest.mark.parametrize("cells", [at(CELL, 0.1), at(replace(CELL, makes="noise"), 0.1, 0.2), []])
def test_a_table_that_shows_nothing_is_refused(cells):
    with pytest.raises(ValueError, match="no attack at two budgets"):
        growth.draw(cells)
