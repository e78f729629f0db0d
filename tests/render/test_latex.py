"""Tables as LaTeX, compiled where there is a LaTeX."""

import dataclasses
import shutil
import subprocess

import pytest
from featpoison.render import latex
from oracles.pictures import CELLS, FACTS


def test_latex_compiles(tmp_path):
    four = [dataclasses.replace(cell, eps_d=cell.eps_d * factor) for factor in (1, 10) for cell in CELLS]
    four.sort(key=lambda cell: (cell.method != "gradpc-feature", cell.eps_d))
    text = latex.to_latex(four, FACTS, ["a.csv sha256 00"])
    assert text.startswith("% a.csv sha256 00")
    assert text.count(r"\\") == 2 + 2
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    (tmp_path / "table.tex").write_text(text)
    document = r"\documentclass{article}\usepackage{booktabs,graphicx}\usepackage[table]{xcolor}"
    document += r"\begin{document}\input{table}\end{document}"
    (tmp_path / "main.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


def test_what_is_special_in_latex_is_escaped():
    escaped = latex.escape("2 x 3 seeds at eps_d = 0.1, tau = 0, beta = 0.1: drop_8bit below 5 %")
    assert escaped == (
        r"2 $\times$ 3 seeds at $\epsilon_d$ = 0.1, $\tau$ = 0, $\beta$ = 0.1: drop\_8bit below 5 \%"
    )
