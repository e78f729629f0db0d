"""Figure "reach": what a target head costs against the smallest budget at which poisons can hold it, from
each stage of training of the clean head, with the gradient over all rows and over mini-batches."""

from dataclasses import dataclass

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

SMALLEST = 1e-3
"""Thresholds below this lie on a linear part of the axis, which begins at 0."""
MARKERS = "o^sDvP*X<>"


@dataclass(frozen=True)
class Chosen:
    """A target head that attacks aim at."""

    name: str
    eps_d: float | None
    """The budget that it was chosen for; None where it depends on none."""
    tau: np.ndarray
    """Of each draw (D,)."""
    accuracy: np.ndarray
    """On the test rows (D,)."""


@dataclass(frozen=True)
class Reach:
    """What `attacks.target_search.measure_steps` measured, and what it is compared with."""

    tau: np.ndarray
    """(S, 1 + D, E)"""
    accuracy: np.ndarray
    """(S, 1 + D, E)"""
    clean_accuracy: np.ndarray
    """Of the head at each stage (S,)."""
    step_size: np.ndarray
    epochs: np.ndarray
    budgets: tuple[float, ...]
    victim_accuracy: float
    """Of the clean victim of the paper's protocol: drops count from there."""
    chosen: tuple[Chosen, ...]


def draw(content: Reach) -> Figure:
    """Left the gradient over all rows, right those of mini-batches, a line for each draw."""
    figure = Figure(figsize=(7.4, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    order = np.argsort(content.clean_accuracy)
    shades = seaborn.color_palette("viridis", len(order))
    for title, axes, kinds in (
        ("gradient over all training rows", panels[0], slice(0, 1)),
        ("gradients of mini-batches", panels[1], slice(1, None)),
    ):
        for place, stage in enumerate(order):
            name = f"{content.epochs[stage]} epochs at {content.step_size[stage]:g}"
            name += f" ({100 * content.clean_accuracy[stage]:.0f} %)"
            for number, (tau, accuracy) in enumerate(
                zip(content.tau[stage, kinds], content.accuracy[stage, kinds], strict=True)
            ):
                axes.plot(
                    tau,
                    100 * (content.victim_accuracy - accuracy),
                    color=shades[place],
                    linewidth=1.1,
                    alpha=0.9,
                    label=name if number == 0 else None,
                )
        _budgets(axes, content.budgets)
        axes.set_title(title, fontsize=8, pad=14)  # above the budgets' numbers
        axes.set_xlabel(r"smallest budget that can hold the head, $\tau$")
    for marker, target in zip(MARKERS, content.chosen, strict=False):
        _mark(panels[int(target.name == "gradpc-minibatch")], marker, target, content.victim_accuracy)
    panels[0].set_ylabel("drop of a victim that ends at the head (points)")
    panels[0].set_xscale("symlog", linthresh=SMALLEST, linscale=0.4)
    panels[0].set_xlim(left=-SMALLEST / 8)
    handles, names = panels[0].get_legend_handles_labels()
    more = panels[1].get_legend_handles_labels()
    for handle, name in zip(*more, strict=True):
        if name not in names:
            handles.append(handle)
            names.append(name)
    figure.legend(
        handles,
        names,
        loc="outside right upper",
        frameon=False,
        fontsize=6.5,
        title="clean head trained for (its accuracy),\nand chosen targets",
        title_fontsize=6.5,
    )
    return figure


def _budgets(axes: Axes, budgets: tuple[float, ...]) -> None:
    """A line at each budget: only heads to its left can be held in place."""
    for number, budget in enumerate(budgets):
        label = r"budget $\epsilon_d$" if number == 0 else None
        axes.axvline(budget, color="0.35", linestyle=":", linewidth=1, label=label)
        axes.text(
            budget,
            1.01,
            f"{budget:g}",
            transform=axes.get_xaxis_transform(),
            ha="center",
            fontsize=6.5,
            color="0.35",
        )


def _mark(axes: Axes, marker: str, target: Chosen, clean: float) -> None:
    name = target.name if target.eps_d is None else rf"{target.name}, $\epsilon_d$ = {target.eps_d:g}"
    axes.plot(
        target.tau,
        100 * (clean - target.accuracy),
        linestyle="none",
        marker=marker,
        markersize=6,
        markerfacecolor="white",
        markeredgecolor=seaborn.color_palette("colorblind")[3],
        markeredgewidth=1.3,
        label=name,
        zorder=5,
        clip_on=False,
    )
