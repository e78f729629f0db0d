"""Figure "growth": how drops grow with the budget, beside those of the paper."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle

import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from featpoison.render.layout import of_noise, set_text
from featpoison.results.cells import Cell

PANELS: dict[str, Callable[[Cell], bool]] = {
    "poisoned features": lambda cell: cell.makes == "features",
    "images, moved themselves": lambda cell: cell.makes == "images" and cell.group == "input",
    "images that follow features": lambda cell: (
        cell.makes == "images" and cell.group not in ("input", "none")
    ),
    "copies with wrong labels": lambda cell: cell.makes == "images" and cell.group == "none",
}
"""What the attacker makes, a row of panels each. In tables only baselines make images without a tint."""
VICTIMS = ("sgd100", "converged")
MARKERS = "os^vDP*<>"  # the paper's are crosses


def grown(cells: list[Cell]) -> dict[str, list[Cell]]:
    """The attacks that were run at more than one budget, by what tells them apart; cells of both victims, in
    order of their budgets."""
    lines: dict[str, list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: cell.eps_d):
        if cell.victim in VICTIMS and cell.defence is None:
            words = (cell.title, set_text(cell), cell.target)
            lines.setdefault(", ".join(filter(None, words)), []).append(cell)
    return {name: line for name, line in lines.items() if len({cell.eps_d for cell in line}) > 1}


@dataclass
class Published:
    """The paper's drops of an attack by budget, and our lines that stand beside them."""

    drops: dict[float, float]
    beside: list[str]


def published(lines: dict[str, list[Cell]]) -> dict[str, Published]:
    """The paper's drops by attack, once where several targets stand beside the same ones; with the set in the
    name where they differ between sets."""
    found: dict[str, Published] = {}
    for ours, line in lines.items():
        drops = {cell.eps_d: cell.published_drop for cell in line if cell.published_drop is not None}
        if not drops:
            continue
        name = line[0].title
        same = found.get(name)
        if same and any(drops.get(budget, drop) != drop for budget, drop in same.drops.items()):
            name += f", {set_text(line[0])}"
        own = found.setdefault(name, Published({}, []))
        own.drops = dict(sorted((own.drops | drops).items()))
        own.beside.append(ours)
    return found


def draw(cells: list[Cell]) -> Figure:
    """A row of panels for each kind of poison, a column for each victim.

    Raises ValueError for a table of EMN, which has no budgets, and where nothing was run at two budgets.
    """
    lines = {} if of_noise(cells) else grown(cells)
    rows = {
        kind: {name: line for name, line in lines.items() if belongs(line[0])}
        for kind, belongs in PANELS.items()
    }
    rows = {kind: shown for kind, shown in rows.items() if shown}
    if not rows:
        raise ValueError("the table has no attack at two budgets, expected one whose drop can grow")
    figure = Figure(figsize=(8.2, 0.7 + 1.9 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), len(VICTIMS), sharex=True, sharey="row", squeeze=False)
    for row, (kind, shown) in zip(panels, rows.items(), strict=True):
        for axes, victim in zip(row, VICTIMS, strict=True):
            _panel(axes, shown, victim)
        row[0].set_title(kind, fontsize=8, loc="left")
        row[0].set_ylabel("drop (points)")
        row[-1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=6.5, frameon=False)
    for axes, victim in zip(panels[0], VICTIMS, strict=True):
        axes.set_title(victim, fontsize=8, loc="right")
    budgets = sorted({cell.eps_d for line in lines.values() for cell in line})
    for axes in panels[-1]:
        axes.set_xscale("log")
        axes.set_xticks(budgets, [f"{100 * budget:g} %" for budget in budgets])
        axes.tick_params(axis="x", labelsize=7)
        axes.minorticks_off()
        axes.set_xlabel("poisons for each clean image")
    return figure


def _panel(axes: Axes, lines: dict[str, list[Cell]], victim: str) -> None:
    """One victim's drops with their intervals, and the paper's, which come without: dashed in the colour of
    the line beside which they stand, in grey where there are several."""
    colours = dict(zip(lines, seaborn.color_palette("colorblind", len(lines)), strict=True))
    for (name, line), marker in zip(lines.items(), cycle(MARKERS)):
        own = [cell for cell in line if cell.victim == victim]
        low, high = (
            [cell.drop - cell.drop_low for cell in own],
            [cell.drop_high - cell.drop for cell in own],
        )
        axes.errorbar(
            [cell.eps_d for cell in own],
            [cell.drop for cell in own],
            yerr=[low, high],
            color=colours[name],
            marker=marker,
            markersize=3.5,
            linewidth=1.2,
            capsize=2,
            label=name,
        )
    several = cycle((":", "-.", (0, (5, 1))))
    for title, paper in published(lines).items():
        alone = len(paper.beside) == 1
        axes.plot(
            list(paper.drops),
            list(paper.drops.values()),
            color=colours[paper.beside[0]] if alone else "0.35",
            linestyle="--" if alone else next(several),
            marker="x",
            markersize=4,
            linewidth=1,
            label=f"the paper: {title}",
        )
    axes.axhline(0, color="0.7", linewidth=0.8, zorder=0)
