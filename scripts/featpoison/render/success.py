"""Figure "success": how often targets are given the wanted class, against what rows of the table differ
in."""

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

    Along cross pairs, which follow from all the others, all are. What was never fine-tuned is where every
    fine-tuning begins, for any number of images and epochs.
    """
    if name == "cross_pairs":
        return cells

    def alike(one: TargetCell, other: TargetCell) -> bool:
        begins = name in TUNING and not (one.tuning_images and other.tuning_images)
        free = {name, "cross_pairs"} | (TUNING if begins else set())
        compared = ["attack", "task", "victim", *(axis for axis in AXES if axis not in free)]
        return all(getattr(one, column) == getattr(other, column) for column in compared)

    plain = [cell for cell in cells if cell.plain and getattr(cell, name) is not None]
    return [cell for cell in plain if any(alike(cell, other) for other in plain if other is not cell)]


def draw(cells: list[TargetCell]) -> Figure:
    """A panel for each column that differs: success of sgd100 with its interval by task, and the probability
    of the wanted class."""
    shown = [cell for cell in cells if cell.victim == "sgd100"]
    panels = [(name, found) for name in varied(shown) if (found := comparable(shown, name))]
    tasks = list(dict.fromkeys(cell.task for cell in shown))
    colours = dict(zip(tasks, seaborn.color_palette("colorblind"), strict=False))
    figure = Figure(figsize=(max(3.4, 2.8 * len(panels)), 2.9), layout="constrained")
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (name, found) in zip(row, panels, strict=True):
        for task in tasks:
            _points(axes, [cell for cell in found if cell.task == task], name, task, colours[task])
        axes.set_xlabel(AXES[name])
        axes.set_ylim(-4, 104)
    row[0].set_ylabel("percent of targets")
    figure.legend(
        *row[0].get_legend_handles_labels(), loc="outside lower center", ncols=2 * len(tasks), frameon=False
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
