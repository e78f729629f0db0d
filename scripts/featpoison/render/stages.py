"""Figure 3: the three stages of a feature-targeted attack, drawn from one attack's own features and
images."""

from dataclasses import dataclass

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.patches import Rectangle

from featpoison.render.pca import Plane

BLUE, ORANGE, GREEN = (seaborn.color_palette("colorblind")[i] for i in (0, 1, 2))
GREY = "0.78"
TOP, BOTTOM = 0.89, 0.26  # of the panels, in shares of the figure


@dataclass(frozen=True)
class Stages:
    """Everything that the figure shows; features are (., d) arrays of the encoder, accuracies shares."""

    plane: Plane
    train: np.ndarray
    test: np.ndarray
    flipped: np.ndarray
    """Test rows (m,) that the clean head classifies correctly and the target head does not."""
    accuracies: tuple[float, float]
    """Test accuracy of the clean head and of the target head."""
    tau: float
    start: np.ndarray
    """Clean features (n, d) that canceling started from."""
    zeta: np.ndarray
    """Poisoned features (n, d)."""
    eps_d: float
    residual: float
    """||R|| / ||G|| at the target head."""
    base: np.ndarray
    """Base images (k, 3, h, w) of the shown poisons."""
    poisons: np.ndarray
    """The poison images (k, 3, h, w)."""
    from_features: np.ndarray
    """f(mu') (k, d)."""
    to_features: np.ndarray
    """f(nu) (k, d)."""
    aims: np.ndarray
    """Their zeta (k, d)."""
    beta: float


def draw(stages: Stages) -> Figure:
    """Three panels in one plane: target head, poisoned features, inversion. One unit is equally long in both
    directions of a panel."""
    figure = Figure(figsize=(7.2, 3.1))
    grid = figure.add_gridspec(
        1, 3, wspace=0.1, left=0.005, right=0.995, top=TOP, bottom=BOTTOM, width_ratios=[1, 1, 1.1]
    )
    near = window([stages.train, stages.to_features, stages.aims], stages.plane, _shape(figure, grid[0]))
    wide = window([stages.train, stages.zeta], stages.plane, _shape(figure, grid[1]))
    panels = [
        _target(figure, grid[0], stages),
        _canceling(figure, grid[1], stages),
        _inversion(figure, grid[2], stages),
    ]
    shapes = [(near, panels[0]), (wide, panels[1])]
    shapes.append(
        (
            window(
                [stages.train, stages.to_features, stages.aims],
                stages.plane,
                _shape(figure, panels[2].get_subplotspec()),
            ),
            panels[2],
        )
    )
    for limits, axes in shapes:
        axes.set(xlim=limits[:, 0], ylim=limits[:, 1], xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set(visible=True, color="0.6")
    panels[1].add_patch(
        Rectangle(
            tuple(near[0]), *(near[1] - near[0]), fill=False, linestyle="--", linewidth=0.6, edgecolor="0.4"
        )
    )
    titles = ("target head", "poisoned features", "inversion")
    for index, (title, note) in enumerate(zip(titles, notes_of(stages), strict=True)):
        left = grid[index].get_position(figure).x0
        figure.text(
            left, 0.935, f"{index + 1}  {title}", fontsize=9, fontweight="bold", ha="left", va="bottom"
        )
        figure.text(
            left, BOTTOM - 0.08, note, fontsize=6.5, color="0.25", ha="left", va="top", linespacing=1.35
        )
    return figure


def notes_of(stages: Stages) -> list[str]:
    """What stands under each panel."""
    before, after = (100 * accuracy for accuracy in stages.accuracies)
    ratio = np.linalg.norm(stages.zeta, axis=1).mean() / np.linalg.norm(stages.train, axis=1).mean()
    return [
        f"accuracy {before:.1f} → {after:.1f} %; reachability $\\tau$ = {stages.tau:.2f}\n"
        f"plane: {100 * stages.plane.share:.0f} % of the features' variance",
        f"n = {len(stages.zeta)} ($\\epsilon_d$ = {stages.eps_d:g}), norms {ratio:.1f} times the clean\n"
        rf"$\|R\|/\|G\|$ = {stages.residual:.2f} left; dashed: window of 1",
        "under the images: squared distance to $\\zeta$,\n" + r"$f(\mu')$ → $f(\nu)$, over all dimensions",
    ]


def window(parts: list[np.ndarray], plane: Plane, shape: tuple[float, float]) -> np.ndarray:
    """Limits [[left, bottom], [right, top]] that hold the features, of the `shape` (width, height) of a
    panel."""
    first, *others = (plane.project(part) for part in parts)
    corners = np.concatenate([np.quantile(first, [0.001, 0.999], axis=0), *others])
    low, high = corners.min(0), corners.max(0)
    size = 1.1 * (high - low)
    scale = (size / shape).max()
    half = scale * np.asarray(shape) / 2
    middle = (low + high) / 2
    return np.stack([middle - half, middle + half])


def _shape(figure: Figure, place: SubplotSpec | None) -> tuple[float, float]:
    assert place is not None
    box = place.get_position(figure)
    return box.width * figure.get_figwidth(), box.height * figure.get_figheight()


def _legend(axes: Axes, columns: int) -> None:
    look = {
        "frameon": False,
        "fontsize": 6.5,
        "handletextpad": 0,
        "columnspacing": 0.5,
        "handlelength": 1.4,
        "borderaxespad": 0.2,
        "borderpad": 0.2,
    }
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.01), ncols=columns, **look)  # type: ignore[arg-type]


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _dots(axes: Axes, places: np.ndarray, **look: object) -> None:
    axes.scatter(places[:, 0], places[:, 1], **({"s": 4, "linewidths": 0, "rasterized": True} | look))  # type: ignore[arg-type]


def _lines(axes: Axes, first: np.ndarray, second: np.ndarray, **look: object) -> None:
    axes.plot(*np.stack([first, second], axis=1).transpose(2, 1, 0), zorder=2, **look)  # type: ignore[arg-type]


def _target(figure: Figure, place: SubplotSpec, stages: Stages) -> Axes:
    """Test features; those that only the clean head gets right are marked."""
    axes = figure.add_subplot(place)
    places = stages.plane.project(stages.test)
    _dots(axes, places[~stages.flipped], color=GREY, label="test features")
    _dots(
        axes,
        places[stages.flipped],
        color=ORANGE,
        marker="x",
        s=9,
        linewidths=0.7,
        label="only the clean head is right",
    )
    _legend(axes, 2)
    return axes


def _canceling(figure: Figure, place: SubplotSpec, stages: Stages) -> Axes:
    """From clean features to poisoned ones."""
    axes = figure.add_subplot(place)
    start, end = stages.plane.project(stages.start), stages.plane.project(stages.zeta)
    _dots(axes, stages.plane.project(stages.train), color=GREY, s=3, label="clean")
    _lines(axes, start, end, color=BLUE, linewidth=0.35, alpha=0.6)
    _dots(axes, start, facecolor="white", edgecolor=BLUE, linewidths=0.6, s=8, zorder=3, label="start")
    _dots(axes, end, color=BLUE, marker="^", s=12, zorder=4, label=r"poisoned $\zeta$")
    _legend(axes, 3)
    return axes


def _inversion(figure: Figure, place: SubplotSpec, stages: Stages) -> Axes:
    """Base images, poison images, and how far the poisons' features come."""
    count = len(stages.base)
    parts = place.subgridspec(
        4,
        count + 1,
        height_ratios=[1, 1, 0.3, 2.9],
        width_ratios=[0.3, *[1] * count],
        hspace=0.05,
        wspace=0.05,
    )
    before, after = (
        np.square(part - stages.aims).sum(1) for part in (stages.from_features, stages.to_features)
    )
    for line, (label, images) in enumerate(((r"$\mu'$", stages.base), (r"$\nu$", stages.poisons))):
        for column, image in enumerate(images):
            axes = figure.add_subplot(parts[line, column + 1])
            axes.imshow(np.clip(image.transpose(1, 2, 0), 0, 1), interpolation="nearest")
            axes.set_axis_off()
            if line == 0:
                axes.set_title(f"{column + 1}", fontsize=7, pad=1)
            else:
                axes.text(
                    0.5,
                    -0.06,
                    f"{_short(before[column])}→{_short(after[column])}",
                    fontsize=5.5,
                    transform=axes.transAxes,
                    ha="center",
                    va="top",
                )
            if column == 0:
                axes.text(-0.12, 0.5, label, transform=axes.transAxes, ha="right", va="center")
    axes = figure.add_subplot(parts[3, :])
    _dots(axes, stages.plane.project(stages.train), color=GREY, s=3)
    start, end, aim = (
        stages.plane.project(part) for part in (stages.from_features, stages.to_features, stages.aims)
    )
    _lines(axes, end, aim, color="0.3", linewidth=0.7, linestyle=":")
    _lines(axes, start, end, color=GREEN, linewidth=0.9)
    _dots(axes, start, facecolor="white", edgecolor=GREEN, linewidths=0.8, s=14, zorder=3, label=r"$f(\mu')$")
    _dots(axes, end, color=GREEN, marker="s", s=14, zorder=4, label=rf"$f(\nu)$, $\beta$ = {stages.beta:g}")
    _dots(axes, aim, color=BLUE, marker="^", s=16, zorder=3, label=r"$\zeta$")
    for number, (x, y) in enumerate(aim, start=1):
        axes.annotate(f"{number}", (x, y), xytext=(3, 1), textcoords="offset points", fontsize=6.5)
    _legend(axes, 3)
    return axes
