"""Tables of texts for LaTeX and as pictures: columns of words, then columns of numbers, with notes below."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from featpoison.render.latex import escape

LINE_HEIGHT, LETTER = 0.2, 0.066  # inches


@dataclass(frozen=True)
class Table:
    """The texts of a table."""

    heads: tuple[str, ...]
    """Of all columns."""
    words: int
    """The first columns, which hold words and are aligned to the left."""
    lines: Sequence[tuple[str, ...]]
    """A text for each column."""
    notes: Sequence[str]
    """What a reader has to know under the table."""
    rules: frozenset[int] = frozenset()
    """The lines, counted from 0, that a rule stands above."""


def interval(mean: float, low: float, high: float, digits: int = 0) -> str:
    """An estimate and the ends of its interval, with so many digits."""
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def to_latex(table: Table, header: list[str]) -> str:
    """A `table*` environment; `header` lines become comments at the top."""
    lines = [f"% {line}" for line in header]
    lines += [
        r"% Needs \usepackage{booktabs} and \usepackage{graphicx}.",
        r"\begin{table*}",
        r"\centering\scriptsize\setlength{\tabcolsep}{3pt}",
        r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{'l' * table.words}{'r' * (len(table.heads) - table.words)}}}",
        r"\toprule",
        " & ".join(table.heads) + r" \\",
        r"\midrule",
    ]
    for number, texts in enumerate(table.lines):
        lines += [r"\midrule"] if number in table.rules else []
        lines.append(" & ".join(escape(text).replace("–", "--") for text in texts) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}}", r"\par\smallskip\begin{minipage}{0.95\textwidth}\scriptsize"]
    lines += [escape(note) for note in table.notes]
    return "\n".join([*lines, r"\end{minipage}", r"\end{table*}", ""])


def draw(table: Table) -> Figure:
    """The table drawn in inches: rules as in booktabs, notes below."""
    columns = zip(table.heads, *table.lines, strict=True)
    widths = [LETTER * max(map(len, column)) + 0.2 for column in columns]
    total, lefts = sum(widths), [sum(widths[:i]) for i in range(len(widths))]
    notes = [text for note in table.notes for text in textwrap.wrap(note, int(total * 20))]
    height = LINE_HEIGHT * (len(table.lines) + 2) + 0.165 * len(notes) + 0.05
    figure = Figure(figsize=(total, height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, total), ylim=(height, 0))
    axes.set_axis_off()

    def write(texts: tuple[str, ...], y: float) -> None:
        for i, (left, width, text) in enumerate(zip(lefts, widths, texts, strict=True)):
            place, side = (left + 0.06, "left") if i < table.words else (left + width - 0.06, "right")
            axes.text(place, y, text, ha=side, va="center")

    def rule(y: float, thickness: float) -> None:
        axes.plot([0, total], [y, y], color="black", linewidth=thickness, clip_on=False)

    rule(0, 1.2)
    write(table.heads, LINE_HEIGHT * 0.6)
    rule(LINE_HEIGHT * 1.1, 0.7)
    for i, texts in enumerate(table.lines):
        if i in table.rules:
            rule(LINE_HEIGHT * (1.2 + i), 0.4)
        write(texts, LINE_HEIGHT * (1.7 + i))
    bottom = LINE_HEIGHT * (1.3 + len(table.lines))
    rule(bottom, 1.2)
    for i, text in enumerate(notes):
        axes.text(0.06, bottom + 0.14 + 0.16 * i, text, va="center", fontsize=7, color="0.25")
    return figure
