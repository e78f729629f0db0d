"""The table and the figure of the stage ablation, and the transfer matrix."""

from dataclasses import replace

import numpy as np
import pytest
from featpoison.render import ablation_table, plain_table, transfer, worth
from featpoison.render.style import save
from featpoison.results.ablation_cells import AblationCell
from featpoison.results.transfer_cells import TransferCell
from oracles.pictures import NUMBERS, assert_drawn, texts

CELL = AblationCell(
    **NUMBERS,
    published_drop=None,
    source="full.h5",
    set="emittable",
    cap=4.0,
    target="reachable-bounded",
)


def both(cell, **changes):
    return [replace(cell, **changes), replace(cell, victim="converged", seeds="2x1", **changes)]


REPLACED = {"stage": "target", "difference": -5.0, "difference_low": -7.0, "difference_high": -3.0}
CELLS = [
    *both(CELL),
    *both(CELL, source="random.h5", target="random-step", drop=1.0, drop_low=-1.0, drop_high=3.0, **REPLACED),
    *both(CELL, pipeline=2, source="matched.h5", title="Feature matching", feature_distance=12.34),
    *both(
        CELL,
        pipeline=2,
        source="base.h5",
        title="Feature matching (base labels)",
        **REPLACED | {"stage": "label"},
    ),
]


def test_a_line_holds_both_victims_and_what_a_stage_is_worth():
    table = ablation_table.table_of(CELLS)
    first, second = (dict(zip(table.heads, texts, strict=False)) for texts in table.lines[:2])
    assert [texts[0] for texts in table.lines] == ["full pipeline", "target", "full pipeline", "label"]
    assert table.lines[0][:6] == (
        "full pipeline",
        "GC-feature",
        "emittable 4",
        "reachable-bounded",
        "6.00 [4.00, 8.00]",
        "–",
    )
    assert table.lines[1][3:6] == ("random-step", "1.00 [-1.00, 3.00]", "-5.00 [-7.00, -3.00]")
    assert (first["residual"], first["distance"], second["magnitude"]) == ("0.125", "–", "3.50")
    assert table.lines[2][-2] == "12.3"
    assert table.rules == {2}


def test_the_tables_notes_say_what_differences_are_and_of_what():
    notes = " ".join(ablation_table.notes_of(CELLS))
    assert "budget of 3 %" in notes
    assert "sgd100 63.00 %" in notes
    assert "2x1 (converged), 2x2 (sgd100)" in notes


def test_latex_has_a_rule_between_pipelines_and_no_special_letters():
    text = plain_table.to_latex(ablation_table.table_of(CELLS), ["a.csv sha256 0"])
    assert text.count(r"\midrule") == 2
    body = text.split(r"\toprule")[1].split(r"\bottomrule")[0]
    assert body.count(r"\\") == 5
    for line in text.splitlines():
        if not line.startswith("%"):
            assert "–" not in line
            assert "_" not in line
            assert "%" not in line.replace(r"\%", "") or line.endswith("{!}{%")


def test_the_figure_shows_drops_and_differences_of_every_row():
    figure = worth.draw(CELLS)
    assert_drawn(figure)
    shown = texts(figure)
    for text in ("target: random-step", "label: Feature matching (base labels)", "full: GC-feature"):
        assert text in shown
    drops, differences = figure.axes[:2]
    assert [label.get_text() for label in drops.get_yticklabels()] == ["full pipeline", "target: random-step"]
    points = [tuple(bar.lines[0].get_xdata()) for bar in drops.containers]
    assert points == [(6.0, 1.0)] * 2
    assert [tuple(bar.lines[0].get_xdata()) for bar in differences.containers] == [(-5.0,)] * 2
    assert [bar.lines[0].get_ydata()[0] for bar in differences.containers] == pytest.approx([0.84, 1.16])
    (ends,) = {tuple(np.sort(bar.lines[2][0].get_segments()[0][:, 0])) for bar in differences.containers}
    assert ends == (-7, -3)


ONE = TransferCell(
    title="GC-input",
    method="gc-input",
    set="valid",
    cap=None,
    beta=None,
    pairing=None,
    label=None,
    target="reachable",
    eps_d=0.1,
    attacked="a",
    encoder="a",
    victim="sgd100",
    seeds="2x2",
    clean_accuracy=60.0,
    accuracy=50.0,
    drop=10.0,
    drop_low=8.0,
    drop_high=12.0,
    white_box_drop=10.0,
    white_box_drop_low=8.0,
    white_box_drop_high=12.0,
    share=1.0,
    magnitude_ratio=1.25,
    source="aa.h5",
)
MATRIX = [
    *both(ONE),
    *both(ONE, encoder="b", drop=2.5, share=0.25, source="ab.h5"),
    *both(ONE, attacked="b", drop=0.5, share=None, source="ba.h5"),
    *both(ONE, attacked="b", encoder="b", drop=-0.5, share=None, source="bb.h5"),
    *both(ONE, set="norm 2", target=None, title="Another", source="other.h5"),
]


def test_the_matrix_as_a_table_has_a_line_for_each_pair_of_encoders():
    table = transfer.table_of(MATRIX)
    assert [texts[1:3] for texts in table.lines[:4]] == [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")]
    assert table.lines[1][0] == "GC-input, valid, reachable"
    assert table.lines[1][3:] == ("2.50 [8.00, 12.00]", "25 %", "2.50 [8.00, 12.00]", "25 %", "1.25")
    assert table.lines[2][4] == "–"
    assert table.rules == {4}
    assert "a sgd100 60.00 %" in " ".join(table.notes)
    assert "budget of 10 %" in " ".join(table.notes)


def test_the_heat_map_says_drops_and_shares_and_frames_white_boxes():
    figure = transfer.draw(MATRIX[:8])
    assert_drawn(figure)
    assert len(figure.axes) == 2
    for axes in figure.axes:
        shown = [text.get_text() for text in axes.texts]
        assert len(shown) == 4
        assert shown[0] == "10.0\n[8.0, 12.0]"
        assert shown[1] == "2.5\n[8.0, 12.0]\n25 % of the white-box drop"
        assert shown[2] == "0.5\n[8.0, 12.0]"
        assert [patch.get_xy() for patch in axes.patches] == [(0.02, 0.02), (1.02, 1.02)]
        colours = axes.collections[0].get_array().reshape(2, 2)
        np.testing.assert_allclose(colours, [[10, 2.5], [0.5, -0.5]])
    assert len(transfer.draw(MATRIX).axes) == 4


def test_pictures_repeat_byte_for_byte(tmp_path):
    for name in ("a", "b"):
        save(worth.draw(CELLS), tmp_path / f"{name}.pdf")
        save(transfer.draw(MATRIX), tmp_path / f"{name}.png")
    for form in ("pdf", "png"):
        assert (tmp_path / f"a.{form}").read_bytes() == (tmp_path / f"b.{form}").read_bytes()
