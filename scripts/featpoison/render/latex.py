"""Tables as LaTeX: booktabs rules and coloured rows, nothing but packages of a basic TeX installation
(booktabs, xcolor with table)."""

import math
import re

from featpoison.render.layout import Facts, budgets_of, columns_of, labels_of, lines_of, notes_of, words_of
from featpoison.results.cells import Cell

HEADS = {
    "paper": "paper",
    "network": "ours, network",
    "sgd100": "ours, sgd100",
    "converged": "ours, converged",
    "residual": r"$\|R\|/\|G\|$",
    "magnitude": "magnitude",
    "bases": "bases",
    "clean": "clean accuracy",
}


SYMBOLS = {
    "eps_w": r"$\epsilon_w$",
    "eps_d": r"$\epsilon_d$",
    "beta =": r"$\beta$ =",
    "tau =": r"$\tau$ =",
    " x ": r" $\times$ ",
    "%": r"\%",
    "_": r"\_",
}
SYMBOL = re.compile("|".join(map(re.escape, SYMBOLS)))


def _infinite(budget: float) -> str:
    return r"\infty" if math.isinf(budget) else f"{budget:g}"


def escape(text: str) -> str:
    """Plain text for LaTeX: symbols by name, then what is special in LaTeX."""
    return SYMBOL.sub(lambda found: SYMBOLS[found.group()], text)


def to_latex(cells: list[Cell], facts: Facts, header: list[str]) -> str:
    """A `table*` environment; `header` lines become comments at the top."""
    budgets, columns = budgets_of(cells), columns_of(cells)
    width, labels = len(columns), labels_of(cells)
    lines = [f"% {line}" for line in header]
    lines += [
        r"% Needs \usepackage{booktabs}, \usepackage{graphicx} and \usepackage[table]{xcolor}.",
        r"\begin{table*}",
        r"\centering\scriptsize\setlength{\tabcolsep}{3pt}",
        r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{'l' * len(labels)}{'r' * (width * len(budgets))}}}",
        r"\toprule",
        "&" * (len(labels) - 1)
        + "".join(
            rf" & \multicolumn{{{width}}}{{c}}{{$\epsilon_d = {_infinite(budget)}$}}" for budget in budgets
        )
        + r" \\",
        "".join(
            rf"\cmidrule(lr){{{1 + len(labels) + width * i}-{len(labels) + width * (i + 1)}}}"
            for i in range(len(budgets))
        ),
        " & ".join([*labels, *(HEADS[name] for _ in budgets for name in columns)]) + r" \\",
        r"\midrule",
    ]
    for line in lines_of(cells):
        texts = [text or "--" for cell in line.cells for text in cell]
        lines.append(
            rf"\rowcolor[HTML]{{{line.tint}}} "
            + " & ".join([*map(escape, words_of(line, cells)), *texts])
            + r" \\"
        )
    lines += [r"\bottomrule", r"\end{tabular}}", r"\par\smallskip\begin{minipage}{0.95\textwidth}\scriptsize"]
    lines += [escape(note) for note in notes_of(cells, facts)]
    return "\n".join([*lines, r"\end{minipage}", r"\end{table*}", ""])
