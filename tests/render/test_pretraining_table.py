"""The table, the figures and the export of attacks on pre-training."""

import csv

import numpy as np
import pytest
from featpoison import store
from featpoison.audit.lineage import read_record
from featpoison.pretraining.poison_files import PoisonFile
from featpoison.render import combinations, success
from featpoison.render.export import ExportError
from featpoison.render.export_pretraining import export
from featpoison.render.plain_table import draw, to_latex
from featpoison.render.pretraining_table import HEADS, lines_of, notes_of, table_of
from featpoison.render.style import save
from helpers import RECORD
from PIL import Image
from target_rows import row


def test_a_line_holds_both_victims():
    line, *missing = lines_of(row())
    assert [one.texts[:2] for one in missing] == [
        ("ICP", "not defined here"),
        ("Witches' Brew", "not defined here"),
    ]
    assert all(len(one.texts) == len(HEADS) for one in missing)
    assert dict(zip(HEADS, line.texts, strict=True)) == {
        "Attack": "PoisonedEncoder, 1 %",
        "Defence": "none",
        "Task": "letters",
        "success": "40 [12, 74]",
        "converged": "30 [7, 65]",
        "clean": "10",
        "accuracy": "61.2",
        "drop": "0.8 [-0.2, 1.8]",
        "rank": "5.1 / 2.0",
        "cosine": "0.42 / 0.71",
        "pairs": "412",
    }


def test_rows_of_one_title_stay_apart():
    """Two rows may differ in a setting that no word says, such as references."""
    assert len(lines_of(row() + row(source="c.h5", references=5) + row(task="numbers"))) == 3 + 2


def test_notes_say_how_many_targets_and_what_clean_encoders_reach():
    text = " ".join(notes_of(row() + row(source="c.h5", targets=50)))
    assert "over 10 to 50 targets" in text
    assert "Clean encoder: twin, 62.0 [60.0, 64.0] % on letters." in text
    other = row(source="d.h5", clean_encoder="wide", defence="no crops", clean_accuracy=57.0)
    text = " ".join(notes_of(row() + other + row(source="e.h5", clean_accuracy=62.1)))
    assert "twin, 62.0 [60.0, 64.0] % on letters; wide, 57.0" in text
    assert "for the rows of defence no crops." in text
    assert "Witches' Brew: it poisons labelled images" in text


def test_latex_has_a_line_for_each_and_escapes_percent():
    text = to_latex(table_of(row() + row(task="numbers", defence="no crops")), ["a.csv sha256 0"])
    assert text.startswith("% a.csv sha256 0\n")
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert len(body) == 2 + 2
    assert all(line.count(" & ") == len(HEADS) - 1 for line in body)
    assert all(r"1 \%" in line for line in body[:2])
    assert "no crops" in body[1]


def test_pictures_repeat_byte_for_byte(tmp_path):
    cells = row() + row(source="c.h5", epochs=100, cross_pairs=50.0)
    for name in ("a", "b"):
        save(draw(table_of(cells)), tmp_path / f"{name}.png")
        save(success.draw(cells), tmp_path / f"{name}.pdf")
    for form in ("png", "pdf"):
        assert (tmp_path / f"a.{form}").read_bytes() == (tmp_path / f"b.{form}").read_bytes()


# What success depends on


def test_a_panel_is_for_what_differs_and_shows_what_is_comparable():
    base, shorter = row()[0], row(source="c.h5", epochs=100, cross_pairs=50.0)[0]
    other = row(source="d.h5", epochs=200, references=5)[0]
    cells = [base, shorter, other]
    assert success.varied(cells) == ["cross_pairs", "references", "epochs"]
    assert success.comparable(cells, "epochs") == [base, shorter]
    assert success.comparable(cells, "references") == []
    defended = row(source="e.h5", epochs=300, plain=False)[0]
    assert success.comparable([*cells, defended], "epochs") == [base, shorter]
    assert success.comparable(cells, "cross_pairs") == cells
    tuned, more, longer = (
        row(source="f.h5", tuning_images=images, tuning_epochs=epochs)[0]
        for images, epochs in ((100, 9), (200, 9), (200, 20))
    )
    for name in ("tuning_images", "tuning_epochs"):
        assert success.comparable([*cells, tuned], name) == [base, tuned]
    found = success.comparable([shorter, tuned, more, longer], "tuning_images")
    assert found == [tuned, more]
    assert success.comparable([shorter, tuned, more, longer], "tuning_epochs") == [more, longer]
    assert success.comparable([base, tuned, more, longer], "tuning_epochs") == [base, more, longer]
    assert success.comparable([base, tuned], "cross_pairs") == [base]
    assert success.comparable([*cells, tuned], "epochs") == [base, shorter]
    assert success.varied([base, row(smallest_crop=None)[0]]) == ["cross_pairs"]
    figure = success.draw(cells)
    assert [axes.get_xlabel() for axes in figure.axes] == [
        success.AXES["cross_pairs"],
        success.AXES["epochs"],
    ]


def test_points_are_success_and_probability_in_percent():
    (axes,) = success.draw(row()).axes
    points = {tuple(map(tuple, line.get_xydata())) for line in axes.lines if len(line.get_xdata()) == 1}
    assert {((412.3, 40.0),), ((412.3, 37.0),)} <= points


# Combinations


@pytest.fixture
def poisons(tmp_path):
    generator = np.random.default_rng(0)
    arrays = {
        "images_beside": generator.integers(0, 256, (3, 3, 4, 8), np.uint8),
        "images_stacked": generator.integers(0, 256, (2, 3, 8, 4), np.uint8),
        "task": np.array([0, 0, 1, 1, 0]),
        "target": np.array([7, 7, 2, 2, 7]),
        "reference": np.array([1, 2, 3, 4, 5]),
        "label": np.array([1, 1, 0, 0, 1]),
        "target_first": np.array([True, False, True, False, True]),
    }
    record = RECORD | {"settings": {"attack": "poisoned-encoder"}}
    store.write(tmp_path / "p.h5", arrays, record, tasks=["letters", "numbers"], rate=0.1, targets=2)
    return PoisonFile(tmp_path / "p.h5")


CLASSES = {"letters": ("a", "b"), "numbers": ("one", "two")}


def test_a_picture_has_a_row_for_each_target(poisons):
    shown = [
        combinations.TargetPictures(
            "a", "b", np.zeros((3, 4, 4), np.uint8), poisons.images(poisons.rows_of(*one))
        )
        for one in poisons.targets()
    ]
    figure = combinations.draw(shown, "poisoned-encoder")
    sizes = [axes.images[0].get_array().shape[:2] for axes in figure.axes if axes.images]
    assert sizes == [(4, 4), (4, 8), (4, 8), (8, 4), (4, 4), (4, 8), (8, 4)]


def test_exported_images_are_exact_and_named_in_the_table(poisons, tmp_path):
    export(poisons, CLASSES, tmp_path / "out", RECORD)
    with open(tmp_path / "out/poisons.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [f"images/{row:05d}.png" for row in range(5)]
    assert rows[2] == {
        "file": "images/00002.png",
        "dataset": "numbers",
        "label": "0",
        "class": "one",
        "target": "2",
        "reference": "3",
        "target_first": "1",
    }
    for line, image in zip(rows, poisons.images(np.arange(5)), strict=True):
        found = np.asarray(Image.open(tmp_path / "out" / line["file"])).transpose(2, 0, 1)
        np.testing.assert_array_equal(found, image)
    assert read_record(tmp_path / "out/poisons.csv")["program"] == RECORD["program"]
    with pytest.raises(ExportError, match="not an empty folder"):
        export(poisons, CLASSES, tmp_path / "out", RECORD)
