"""A table as a picture (PDF or PNG), for readers without LaTeX: the same lines and notes."""

import math
import textwrap

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from featpoison.render.layout import Facts, budgets_of, columns_of, labels_of, lines_of, notes_of, words_of
from featpoison.results.cells import Cell

HEADS = {
    "paper": "paper",
    "sgd100": "ours, sgd100",
    "converged": "ours, converged",
    "residual": "residual",
    "magnitude": "magnitude",
    "bases": "bases",
}
HEADS |= {"network": "ours, network", "clean": "clean accuracy"}
# Inches
WIDTHS = {
    "paper": 0.55,
    "sgd100": 1.45,
    "converged": 1.45,
    "residual": 0.65,
    "magnitude": 0.75,
    "bases": 0.85,
    "network": 1.45,
    "clean": 1.05,
}
LABEL_WIDTHS, LINE_HEIGHT = {"Attack": 2.75, "set": 0.95, "target": 1.25}, 0.2


def draw(cells: list[Cell], facts: Facts) -> Figure:
    """The table drawn in inches: rules as in booktabs, rows tinted by group, notes below."""
    budgets, lines = budgets_of(cells), lines_of(cells)
    columns = columns_of(cells)
    labels = labels_of(cells)
    beginnings = [0.06 + sum(LABEL_WIDTHS[name] for name in labels[:i]) for i in range(len(labels))]
    words_width = sum(LABEL_WIDTHS[name] for name in labels)
    widths = [WIDTHS[name] for _ in budgets for name in columns]
    total = words_width + sum(widths)
    notes = [text for note in notes_of(cells, facts) for text in textwrap.wrap(note, int(total * 20))]
    height = LINE_HEIGHT * (len(lines) + 3) + 0.165 * len(notes) + 0.05
    figure = Figure(figsize=(total, height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, total), ylim=(height, 0))
    axes.set_axis_off()
    rights = [words_width + sum(widths[: i + 1]) - 0.06 for i in range(len(widths))]

    def rule(y: float, thickness: float, left: float = 0, right: float = total) -> None:
        axes.plot([left, right], [y, y], color="black", linewidth=thickness, clip_on=False)

    rule(0, 1.2)
    span = sum(WIDTHS[name] for name in columns)
    for i, budget in enumerate(budgets):
        left = words_width + i * span
        axes.text(
            left + span / 2,
            LINE_HEIGHT * 0.6,
            r"$\epsilon_d$ = " + ("∞" if math.isinf(budget) else f"{budget:g}"),
            ha="center",
            va="center",
        )
        rule(LINE_HEIGHT, 0.5, left + 0.06, left + span - 0.06)
    y = LINE_HEIGHT * 1.55
    for left, name in zip(beginnings, labels, strict=True):
        axes.text(left, y, name, va="center")
    for right, name in zip(rights, list(columns) * len(budgets), strict=True):
        axes.text(right, y, HEADS[name], ha="right", va="center")
    rule(LINE_HEIGHT * 2.1, 0.7)
    for i, line in enumerate(lines):
        top = LINE_HEIGHT * (2.15 + i)
        axes.add_patch(Rectangle((0, top), total, LINE_HEIGHT, facecolor=f"#{line.tint}", linewidth=0))
        for left, text in zip(beginnings, words_of(line, cells), strict=True):
            axes.text(left, top + LINE_HEIGHT / 2, text.replace("beta", r"$\beta$"), va="center")
        for right, text in zip(rights, [text for cell in line.cells for text in cell], strict=True):
            axes.text(right, top + LINE_HEIGHT / 2, text or "–", ha="right", va="center")
    bottom = LINE_HEIGHT * (2.2 + len(lines))
    rule(bottom, 1.2)
    for i, text in enumerate(notes):
        axes.text(0.06, bottom + 0.14 + 0.16 * i, text, va="center", fontsize=7, color="0.25")
    return figure
