"""Figure "worth": how the drop of a pipeline changes when one of its stages is left out or replaced."""

from itertools import groupby

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from featpoison.render.layout import set_text
from featpoison.results.ablation_cells import FULL, AblationCell

LINE = 0.21  # inches a row
SIDE = 0.16
"""How far the two victims of a row stand above and below its middle."""


def draw(cells: list[AblationCell]) -> Figure:
    """A row of panels for each pipeline: drops on the left, paired differences to the full one on the
    right."""
    pipelines = [list(group) for _, group in groupby(cells, key=lambda cell: cell.pipeline)]
    counts = [len(_names(group)) for group in pipelines]
    figure = Figure(figsize=(8.2, 0.85 * len(pipelines) + LINE * sum(counts)), layout="constrained")
    panels = figure.subplots(
        len(pipelines), 2, sharex="col", sharey="row", height_ratios=counts, squeeze=False
    )
    for (drops, differences), group in zip(panels, pipelines, strict=True):
        _panel(drops, group, ("drop", "drop_low", "drop_high"))
        _panel(differences, group, ("difference", "difference_low", "difference_high"))
        drops.set_title(_title(group), fontsize=7.5, loc="left")
    panels[0, 1].set_title("paired difference to the full pipeline", fontsize=7.5, loc="left")
    panels[-1, 0].set_xlabel("drop of test accuracy (points)")
    panels[-1, 1].set_xlabel("change of the drop (points)")
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False
    )
    return figure


def _title(group: list[AblationCell]) -> str:
    """The full pipeline of a panel."""
    full = group[0]
    words = (full.title, set_text(full), full.target)
    return f"full: {', '.join(filter(None, words))}"


def _names(group: list[AblationCell]) -> dict[str, str]:
    """The rows of a pipeline by source, with what each changes."""
    return {cell.source: _name(cell, group[0]) for cell in group}


def _name(cell: AblationCell, full: AblationCell) -> str:
    """The stage and what stands in its place."""
    if cell.stage == FULL:
        return "full pipeline"
    changed = cell.title if cell.target == full.target or not cell.target else cell.target
    return f"{cell.stage}: {changed}"


def _panel(axes: Axes, group: list[AblationCell], names: tuple[str, str, str]) -> None:
    """Two marks with intervals for each row, one for each victim, from the top down."""
    rows = _names(group)
    places = {source: place for place, source in enumerate(rows)}
    victims = list(dict.fromkeys(cell.victim for cell in group))
    for number, (victim, colour) in enumerate(
        zip(victims, seaborn.color_palette("colorblind"), strict=False)
    ):
        shown = [cell for cell in group if cell.victim == victim and getattr(cell, names[0]) is not None]
        values = np.array([[getattr(cell, name) for name in names] for cell in shown])
        axes.errorbar(
            values[:, 0],
            [places[cell.source] + SIDE * (2 * number - 1) for cell in shown],
            xerr=[values[:, 0] - values[:, 1], values[:, 2] - values[:, 0]],
            color=colour,
            marker="os"[number % 2],
            markersize=3.5,
            linewidth=1,
            linestyle="none",
            capsize=2,
            label=victim,
        )
    axes.axvline(0, color="0.7", linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(rows)), list(rows.values()), fontsize=7)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", color="0.93")
    axes.set_axisbelow(True)
