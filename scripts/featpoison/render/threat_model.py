"""Figure 1: the threat model, with the run's own images, similarities and accuracies. Above, pre-training;
below, downstream training."""

from dataclasses import dataclass

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from featpoison.results.cells import Cell

BLUE, ORANGE = (seaborn.color_palette("colorblind")[i] for i in (0, 1))
WIDTH, HEIGHT = 7.2, 3.4
SIDE, STEP = 0.5, 0.54  # an image, and from one to the next, inches
LEFT = 0.62
UPPER, LOWER = 2.5, 0.75  # bottom of the upper image row of each half


@dataclass(frozen=True)
class ThreatModel:
    """What the figure shows."""

    training: str
    """How it was pre-trained, from its record."""
    views: np.ndarray
    """Two random views of k training images, (2, k, 3, h, w)."""
    similarity: np.ndarray
    """Cosine between the features of first and second views, (k, k)."""
    clean: np.ndarray
    """Clean training images (k, 3, h, w)."""
    clean_labels: list[str]
    poisons: np.ndarray
    """Poison images (k, 3, h, w)."""
    poison_labels: list[str]
    rows: tuple[int, int]
    """N clean images and n poisons of the head's training set."""
    eps_d: float
    beta: float
    cells: list[Cell]
    """The attack's cells of both victims."""


def draw(model: ThreatModel) -> Figure:
    """Images on the left, the encoder in the middle, what comes out on the right; everything placed in
    inches."""
    figure = Figure(figsize=(WIDTH, HEIGHT))
    canvas = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, HEIGHT))
    canvas.set_axis_off()
    count = model.views.shape[1]
    right = LEFT + count * STEP - (STEP - SIDE)
    columns = (right, right + 0.34, right + 1.58)
    _pretraining(figure, canvas, model, columns)
    _downstream(figure, canvas, model, columns)
    canvas.plot([0.05, WIDTH - 0.05], [1.73, 1.73], color="0.8", linewidth=0.6, zorder=0)
    middle = columns[1] + 0.45
    _arrow(canvas, (middle, UPPER - 0.28), (middle, LOWER + 0.34))
    canvas.text(middle + 0.07, 1.79, "weights,\nthen frozen", fontsize=7, va="bottom")
    return figure


def _pretraining(
    figure: Figure, canvas: Axes, model: ThreatModel, columns: tuple[float, float, float]
) -> None:
    """Two views of each image should be encoded alike; `columns`: right end of the images, left ends of the
    boxes."""
    right, box, head = columns
    canvas.text(0.05, HEIGHT - 0.12, "Pre-training, no poisons", fontsize=9, fontweight="bold", va="center")
    for line, label in enumerate(("view 1", "view 2")):
        bottom = UPPER - line * STEP
        _images(figure, model.views[line], bottom)
        canvas.text(LEFT - 0.06, bottom + SIDE / 2, label, fontsize=7, ha="right", va="center")
    canvas.text(
        LEFT,
        UPPER - STEP - 0.05,
        "random views, no labels (here of downstream images)",
        fontsize=7,
        va="top",
        color="0.25",
    )
    _box(canvas, box, UPPER, f"encoder f\n{model.training}")
    _arrow(canvas, (right + 0.05, UPPER), (box - 0.02, UPPER))
    _arrow(canvas, (box + 0.92, UPPER), (head + 0.1, UPPER))
    size = 0.96
    axes = figure.add_axes(_place(head + 0.3, UPPER - size / 2, size, size))
    shown = axes.imshow(
        model.similarity, cmap="cividis", vmin=min(0.0, float(model.similarity.min())), vmax=1
    )
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_xlabel("f(view 2)", fontsize=7, labelpad=2)
    axes.set_ylabel("f(view 1)", fontsize=7, labelpad=2)
    bar = figure.colorbar(
        shown, cax=figure.add_axes(_place(head + size + 0.37, UPPER - size / 2, 0.07, size))
    )
    bar.ax.tick_params(labelsize=6, length=2, pad=1)
    same, other = (
        np.diag(model.similarity).mean(),
        model.similarity[~np.eye(len(model.similarity), dtype=bool)].mean(),
    )
    axes.set_title(
        f"cosine of features: {same:.2f} for views\nof one image, else {other:.2f} (mean)", fontsize=7, pad=4
    )


def _downstream(
    figure: Figure, canvas: Axes, model: ThreatModel, columns: tuple[float, float, float]
) -> None:
    """A linear head is trained on clean and poisoned images, then tested."""
    right, box, head = columns
    canvas.text(0.05, 1.58, "Downstream training, poisoned", fontsize=9, fontweight="bold", va="center")
    N, n = model.rows
    gap = 0.12  # room for labels
    rows = (
        ("clean", model.clean, model.clean_labels, LOWER + gap),
        ("poisons", model.poisons, model.poison_labels, LOWER - STEP),
    )
    for name, images, labels, bottom in rows:
        _images(figure, images, bottom, labels)
        canvas.text(LEFT - 0.06, bottom + SIDE / 2, name, fontsize=7, ha="right", va="center")
    frame = (LEFT - 0.04, LOWER - STEP - 0.115)
    canvas.add_patch(
        Rectangle(
            frame,
            right - LEFT + 0.08,
            SIDE + 0.15,
            fill=False,
            linestyle="--",
            linewidth=0.9,
            edgecolor=ORANGE,
        )
    )
    attack = rf"$\epsilon_d$ = {model.eps_d:g}, feature matching, $\beta$ = {model.beta:g}"
    text = f"N = {N:,} clean, n = {n:,} poisons ({attack})"
    canvas.text(LEFT - 0.04, LOWER - STEP - 0.15, text, fontsize=7, va="top", color="0.25")
    _box(canvas, box, LOWER + 0.05, "encoder f\nfrozen", filled=True)
    _box(canvas, head, LOWER + 0.05, "linear head\ntrained", width=0.8)
    _arrow(canvas, (right + 0.08, LOWER + 0.05), (box - 0.02, LOWER + 0.05))
    _arrow(canvas, (box + 0.92, LOWER + 0.05), (head - 0.02, LOWER + 0.05))
    _arrow(canvas, (head + 0.82, LOWER + 0.05), (head + 1.0, LOWER + 0.05))
    _accuracies(figure.add_axes(_place(head + 1.26, LOWER - 0.28, WIDTH - head - 1.31, 0.8)), model.cells)


def _accuracies(axes: Axes, cells: list[Cell]) -> None:
    """Test accuracy of both victims, clean and poisoned."""
    looks = (("clean", "white", BLUE, ""), ("poisoned", ORANGE, "black", "////"))
    for place, cell in enumerate(cells):
        for shift, (label, face, edge, hatch), value in zip(
            (-0.2, 0.2), looks, (cell.clean_accuracy, cell.accuracy), strict=True
        ):
            axes.bar(
                place + shift,
                value,
                0.36,
                facecolor=face,
                edgecolor=edge,
                hatch=hatch,
                linewidth=0.8,
                label=label if place == 0 else None,
            )
            axes.text(place + shift, value + 1, f"{value:.1f}", fontsize=5.5, ha="center", va="bottom")
    axes.set_xticks(range(len(cells)), [cell.victim for cell in cells], fontsize=6.5)
    axes.set(ylim=(0, 100), yticks=[0, 50, 100])
    axes.tick_params(labelsize=6, length=2, pad=1)
    axes.set_title("test accuracy (%)", fontsize=7, pad=2)
    look = {"fontsize": 6, "frameon": False, "handlelength": 1, "columnspacing": 0.8, "handletextpad": 0.3}
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.16), ncols=2, **look)  # type: ignore[arg-type]


def _place(left: float, bottom: float, width: float, height: float) -> tuple[float, float, float, float]:
    return left / WIDTH, bottom / HEIGHT, width / WIDTH, height / HEIGHT


def _images(figure: Figure, images: np.ndarray, bottom: float, labels: list[str] | None = None) -> None:
    for column, image in enumerate(images):
        axes = figure.add_axes(_place(LEFT + column * STEP, bottom, SIDE, SIDE))
        axes.imshow(np.clip(image.transpose(1, 2, 0), 0, 1), interpolation="nearest")
        axes.set_axis_off()
        if labels:
            axes.text(
                0.5, -0.03, labels[column], fontsize=5.5, transform=axes.transAxes, ha="center", va="top"
            )


def _box(
    canvas: Axes, left: float, middle: float, text: str, width: float = 0.9, *, filled: bool = False
) -> None:
    style = "round,pad=0,rounding_size=0.05"
    face = "0.88" if filled else "white"
    canvas.add_patch(
        FancyBboxPatch(
            (left, middle - 0.27),
            width,
            0.54,
            boxstyle=style,
            facecolor=face,
            edgecolor="black",
            linewidth=0.8,
        )
    )
    canvas.text(left + width / 2, middle, text, ha="center", va="center", fontsize=7, linespacing=1.3)


def _arrow(canvas: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    canvas.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=7, linewidth=0.8, color="black", shrinkA=0, shrinkB=0
        )
    )
