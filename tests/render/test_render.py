import dataclasses
import shutil
import subprocess

import numpy as np
import pytest
from featpoison import store
from featpoison.render import grid, latex, layout, magnitudes, perturbations, picture, poisons, style
from featpoison.render.poison_images import Shown
from featpoison.results.cells import Cell, Request, cells_of, from_csv, largest_swing, published_drops, to_csv
from helpers import RECORD, ROOT

FACTS = layout.Facts(eps_w=1.0, swing=0.25)
CELLS = [
    Cell("gradpc-feature", None, budget, "1x1", "target", 60.0, 50.0, 10.0, None, None, 36.71, 1.5, None, None, "t.h5") for budget in (0.03, 0.1)
] + [
    Cell("feature-matching", 0.25, budget, seeds, victim, 60.0, 58.5, 1.5, 0.5, 2.5, published, 1.5, 0.75, 1.25, "v.h5")
    for budget, published in ((0.03, 6.3), (0.1, None))
    for victim, seeds in (("sgd100", "3x5"), ("converged", "3x1"))
]


def test_csv_round_trip_and_door():
    text = to_csv(CELLS)
    assert text.splitlines()[0].startswith(
        "method,beta,eps_d,seeds,victim,clean_accuracy,accuracy,drop,drop_low,drop_high,published_drop,tau,residual,magnitude_ratio,source"
    )
    assert from_csv(text) == CELLS
    with pytest.raises(ValueError, match="expected"):
        from_csv("a,b\n1,2\n")


def test_cells_come_from_result_files(tmp_path):
    clean, attacked, target = (tmp_path / f"{name}.h5" for name in ("clean", "attacked", "target"))
    store.write(clean, {"sgd100_accuracy": np.array([[[0.1, 0.6], [0.1, 0.8]]]), "converged_accuracy": np.array([0.7])}, RECORD)
    hurt = np.array([[[0.0, 0.5], [0.0, 0.6]], [[0.0, 0.55], [0.0, 0.75]]])
    facts = {"residual": np.array([0.2, 0.4]), "feature_magnitude_ratio": np.array([1.0, 3.0])}
    store.write(attacked, {"sgd100_accuracy": hurt, "converged_accuracy": np.array([0.65, 0.69])} | facts, RECORD)
    store.write(target, {"omega": np.zeros((2, 2))}, RECORD, accuracy=0.4, clean_accuracy=0.6, tau=1.5)
    assert largest_swing([attacked]) == pytest.approx(75.0)
    sgd, converged = cells_of(Request("feature-matching", 0.25, 0.03, str(attacked)), clean, 1.5, 6.3)
    assert (sgd.seeds, converged.seeds) == ("2x2", "2x1")
    assert sgd.drop == pytest.approx(10.0)  # (10 + 20) / 2 and (5 + 5) / 2 points
    assert sgd.drop_low < 10 < sgd.drop_high
    assert (sgd.clean_accuracy, sgd.accuracy) == (pytest.approx(70), pytest.approx(60))
    assert converged.drop == pytest.approx(3.0)
    assert (sgd.residual, sgd.magnitude_ratio, sgd.tau, sgd.published_drop) == (pytest.approx(0.3), pytest.approx(2.0), 1.5, 6.3)
    (head,) = cells_of(Request("gradpc-feature", None, 0.03, str(target)), clean, 9.9, None)
    assert (head.victim, head.drop, head.tau, head.drop_low) == ("target", pytest.approx(20.0), 1.5, None)


def test_published_numbers_are_found():
    drops = published_drops(ROOT / "data/published/published_results.csv", 1)
    assert drops["feature-matching", 0.05, 1.0] == 26.52
    assert drops["gc-feature", None, 0.03] == 36.61
    assert len(drops) == 44


def test_lines_show_paper_ours_and_facts():
    target, attack = layout.lines_of(CELLS)
    assert attack.title == "Feature matching (beta = 0.25)"
    assert attack.cells == (("6.30", "1.50 [0.50, 2.50]", "1.50 [0.50, 2.50]", "0.750", "1.25"), ("", *["1.50 [0.50, 2.50]"] * 2, "0.750", "1.25"))
    assert target.cells[0] == ("36.71", "10.00", "", "", "")
    notes = " ".join(layout.notes_of(CELLS, FACTS))
    assert "tau = 1.500" in notes
    assert "more than 0.25 points" in notes


def test_latex_compiles(tmp_path):
    four = [dataclasses.replace(cell, eps_d=cell.eps_d * factor) for factor in (1, 10) for cell in CELLS]
    text = latex.to_latex(sorted(four, key=lambda cell: (cell.method != "gradpc-feature", cell.eps_d)), FACTS, ["a.csv sha256 00"])
    assert text.startswith("% a.csv sha256 00")
    assert text.count(r"\\") == 2 + 2
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    (tmp_path / "table.tex").write_text(text)
    document = r"\documentclass{article}\usepackage{booktabs,graphicx}\usepackage[table]{xcolor}\begin{document}\input{table}\end{document}"
    (tmp_path / "main.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


def shown():
    generator = np.random.default_rng(0)
    base = generator.random((4, 3, 8, 8), np.float32)
    noise = generator.normal(size=base.shape).astype(np.float32)
    return [Shown(beta, 0.03, base + (0.3 / beta) * noise, np.arange(4)) for beta in (0.25, 0.1)], [base, base]


FIGURES = {
    "table": lambda: picture.draw(CELLS, FACTS),
    "poisons": lambda: poisons.draw(*shown()),
    "perturbations": lambda: perturbations.draw(*shown()),
    "magnitudes": lambda: magnitudes.draw({"fine-tuning": shown()[0]}, 1.0),
}


@pytest.mark.parametrize("form", ["png", "pdf"])
@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES.keys())
def test_pictures_repeat_byte_for_byte(draw, form, tmp_path):
    for name in ("a", "b"):
        style.save(draw(), tmp_path / f"{name}.{form}")
    assert (tmp_path / f"a.{form}").read_bytes() == (tmp_path / f"b.{form}").read_bytes()
    assert (tmp_path / f"a.{form}").stat().st_size > 1000


def test_rows_with_other_base_images_show_their_own(monkeypatch):
    rows = {}
    monkeypatch.setattr(grid, "draw", lambda lines, note: rows.update(lines=lines, note=note))
    parts, clean = shown()
    poisons.draw(parts, clean)
    assert [label for label, _ in rows["lines"]] == ["clean", r"$\beta$ = 0.25", r"$\beta$ = 0.1"]
    parts[1] = Shown(0.1, 0.03, parts[1].images, parts[1].base + 1)
    poisons.draw(parts, clean)
    assert [label for label, _ in rows["lines"]] == ["clean", r"$\beta$ = 0.25", "clean", r"$\beta$ = 0.1"]
