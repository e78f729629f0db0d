"""Figure "success": how often targets are given the wanted class, against what rows of the table differ
in."""

import math
from typing import Any

import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from featpoison.results.target_cells import TargetCell

AXES = {
    "cross_pairs": "expected cross pairs a target",
    "rate": "poisons for each clean image",
    "references": "references a target",
    "epochs": "epochs of poisoned pre-training",
    "smallest_crop": "smallest share that a crop covers",
    "tuning_images": "clean images of fine-tuning",
    "tuning_epochs": "epochs of fine-tuning",
}
TUNING = {"tuning_images", "tuning_epochs"}
COLUMNS = 3
"""Panels in a row."""


def varied(cells: list[TargetCell]) -> list[str]:
    """The columns of `AXES` in which cells differ, with cross pairs in any case."""
    return [
        name
        for name in AXES
        if name == "cross_pairs" or len({getattr(cell, name) for cell in cells} - {None}) > 1
    ]


def comparable(cells: list[TargetCell], name: str) -> list[TargetCell]:
    """The cells that show what one column does: of each attack, task and victim, those plain ones that are
    like another one in all columns of `AXES` but this one and what follows from it.

    Along cross pairs, which follow from all the others, all are that were not fine-tuned afterwards. What was
    never fine-tuned is where every fine-tuning begins, for any number of images and epochs.
    """
    if name == "cross_pairs":
        return [cell for cell in cells if not cell.tuning_epochs]
    plain = [cell for cell in cells if cell.plain and getattr(cell, name) is not None]
    if name not in TUNING:
        return _with_partner(plain, plain, {name})
    tuned = [cell for cell in plain if cell.tuning_epochs]
    begun = _with_partner([cell for cell in plain if not cell.tuning_epochs], tuned, TUNING)
    shown = _with_partner(tuned, tuned, {name}) or _with_partner(tuned, begun, TUNING)
    begun = _with_partner(begun, shown, TUNING)
    return [cell for cell in plain if cell in begun or cell in shown]


def _with_partner(cells: list[TargetCell], others: list[TargetCell], free: set[str]) -> list[TargetCell]:
    """Those of `cells` that differ from one of `others` in nothing but the columns `free` and cross pairs."""
    compared = ["attack", "task", "victim", *(axis for axis in AXES if axis not in free | {"cross_pairs"})]

    def alike(one: TargetCell, other: TargetCell) -> bool:
        return one is not other and all(getattr(one, name) == getattr(other, name) for name in compared)

    return [cell for cell in cells if any(alike(cell, other) for other in others)]


def draw(cells: list[TargetCell]) -> Figure:
    """A panel for each column that differs: success of sgd100 with its interval by task, and the probability
    of the wanted class."""
    shown = [cell for cell in cells if cell.victim == "sgd100"]
    panels = [(name, found) for name in varied(shown) if (found := comparable(shown, name))]
    tasks = list(dict.fromkeys(cell.task for cell in shown))
    colours = dict(zip(tasks, seaborn.color_palette("colorblind"), strict=False))
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(max(3.4, 2.8 * columns), 0.4 + 2.5 * rows), layout="constrained")
    places = [figure.add_subplot(rows, columns, number + 1) for number in range(len(panels))]
    for number, (axes, (name, found)) in enumerate(zip(places, panels, strict=True)):
        for task in tasks:
            _points(axes, [cell for cell in found if cell.task == task], name, task, colours[task])
        axes.set_xlabel(AXES[name])
        axes.set_ylim(-4, 104)
        if number % columns == 0:
            axes.set_ylabel("percent of targets")
    figure.legend(
        *places[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=2 * len(tasks),
        frameon=False,
    )
    return figure


def _points(
    axes: Axes, cells: list[TargetCell], name: str, task: str, colour: tuple[float, float, float]
) -> None:
    cells = sorted(cells, key=lambda cell: getattr(cell, name))
    places = [getattr(cell, name) for cell in cells]
    means = [cell.success for cell in cells]
    below = [cell.success - cell.success_low for cell in cells]
    above = [cell.success_high - cell.success for cell in cells]
    marks: dict[str, Any] = {"marker": "o", "markersize": 3.5, "linestyle": "none", "capsize": 2.5}
    axes.errorbar(places, means, yerr=[below, above], color=colour, label=f"success, {task}", **marks)
    axes.plot(
        places,
        [100 * cell.probability for cell in cells],
        color=colour,
        marker="x",
        markersize=4,
        linestyle="none",
        label=f"probability, {task}",
    )
