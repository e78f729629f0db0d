"""Figure "frontier": what poisoned features cost against how long they may be, and how long the features of
real images are."""

from dataclasses import dataclass

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from featpoison.results.bootstrap import Interval

UNLIMITED = "no cap"


@dataclass(frozen=True)
class Series:
    """One attack with one target: the drop at each norm cap for one victim."""

    name: str
    victim: str
    caps: tuple[float, ...]
    """In mean clean norms; infinite without a cap."""
    drops: tuple[Interval, ...]


@dataclass(frozen=True)
class Norm:
    """How long features of real images are: a mark, or a range from low to high."""

    name: str
    low: float
    high: float


def draw(series: list[Series], norms: list[Norm], eps_d: float) -> Figure:
    """Above a panel for each victim, below the norms of images on the same axis."""
    victims = list(dict.fromkeys(one.victim for one in series))
    names = list(dict.fromkeys(one.name for one in series))
    colours = dict(zip(names, seaborn.color_palette("colorblind"), strict=False))
    largest = max(cap for one in series for cap in one.caps if np.isfinite(cap))
    end = 2 * largest  # where features without a cap are drawn
    figure = Figure(figsize=(7.4, 4.0), layout="constrained")
    panels = figure.subplots(
        2, len(victims), sharex=True, sharey="row", height_ratios=(3, 0.25 * len(norms) + 0.2), squeeze=False
    )
    for column, victim in enumerate(victims):
        axes = panels[0, column]
        for one in series:
            if one.victim == victim:
                _drops(axes, one, colours[one.name], end)
        axes.axhline(0, color="0.7", linewidth=0.8)
        axes.set_title(rf"{victim}, $\epsilon_d$ = {eps_d:g}", fontsize=8)
        _norms(panels[1, column], norms)
        panels[1, column].set_xlabel("largest feature norm (mean clean = 1)")
    first = panels[0, 0]
    first.set_ylabel("drop of test accuracy (points)")
    first.set_xscale("log", base=2)
    ticks = sorted({cap for one in series for cap in one.caps if np.isfinite(cap)})
    first.set_xticks([*ticks, end], [*(f"{cap:g}" for cap in ticks), UNLIMITED])
    first.minorticks_off()
    figure.legend(
        *first.get_legend_handles_labels(), loc="outside lower center", ncols=len(names), frameon=False
    )
    return figure


def _drops(axes: Axes, one: Series, colour: tuple[float, float, float], end: float) -> None:
    places = [cap if np.isfinite(cap) else end for cap in one.caps]
    means = np.array([drop.mean for drop in one.drops])
    low, high = (np.array([getattr(drop, side) for drop in one.drops]) for side in ("low", "high"))
    axes.errorbar(
        places,
        means,
        yerr=[means - low, high - means],
        color=colour,
        marker="o",
        markersize=3.5,
        linewidth=1.2,
        capsize=2.5,
        label=one.name,
    )


def _norms(axes: Axes, norms: list[Norm]) -> None:
    """A row for each: where on the axis above real images are."""
    for place, norm in enumerate(reversed(norms)):
        axes.plot([norm.low, norm.high], [place, place], color="0.25", linewidth=3, solid_capstyle="butt")
        axes.plot([norm.low, norm.high], [place, place], color="0.25", marker="|", linestyle="none")
    axes.set_yticks(range(len(norms)), [norm.name for norm in reversed(norms)], fontsize=6.5)
    axes.set_ylim(-0.6, len(norms) - 0.4)
    axes.grid(axis="x", color="0.9")
