"""Figure 7: poisons within the clean images' range of magnitudes, and beyond it."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from featpoison.render.poison_images import Shown, first_distinct, sizes

COLUMNS = 4
INCHES = 0.62
GAP = 0.35  # of an image, between the kinds
# Words stand outside: saving makes room for them.
EDGES = {
    "left": 0.0,
    "right": 1.0,
    "bottom": 0.0,
    "top": 1.0,
}


@dataclass(frozen=True)
class Kind:
    """The columns of one kind: rows of the poison files, and for each file which of them are of this kind
    there."""

    title: str
    rows: np.ndarray
    belongs: list[np.ndarray]


def choose(shown: list[Shown], clean_largest: float, count: int = COLUMNS) -> tuple[Kind, Kind]:
    """`count` columns within the clean range and `count` beyond it: poisons that are so for as many betas as
    possible, of distinct base images where there are enough, earlier ones first.

    All files hold poisons of the same base images; ValueError where they do not.
    """
    if not all(np.array_equal(part.base, shown[0].base) for part in shown):
        raise ValueError(
            "the poison files start from different base images; expected one poison seed and budget"
        )
    beyond = np.stack([sizes(part) > clean_largest for part in shown])  # (files, n)
    kinds = []
    for title, belongs in (("within the clean range", ~beyond), ("beyond it", beyond)):
        often = belongs.sum(0)
        rows = np.argsort(-often, kind="stable")
        rows = rows[often[rows] > 0]
        distinct = first_distinct(shown[0].base[rows], count)
        rows = np.concatenate([rows[distinct], np.delete(rows, distinct)])[:count]
        kinds.append(Kind(title, rows, [one[rows] for one in belongs]))
    return kinds[0], kinds[1]


def note_of(shown: list[Shown], kinds: tuple[Kind, Kind], clean_largest: float, count: int = COLUMNS) -> str:
    """How many anomalies there are, and which places are empty."""
    counts = [
        f"{(sizes(part) > clean_largest).sum()} of {len(part.images)} at beta = {part.beta:g}"
        for part in shown
    ]
    text = f"beyond the largest clean magnitude ({clean_largest:g}): {', '.join(counts)}; "
    text += "pixels clipped to [0, 1] for display"
    lacking = [
        f"{part.beta:g} shows {belongs.sum()} {kind.title}"
        for kind in kinds
        for part, belongs in zip(shown, kind.belongs, strict=True)
        if belongs.sum() < count
    ]
    return (
        f"{text}\nplaces are left empty where a poison is not of the kind for a beta: {', '.join(lacking)}"
        if lacking
        else text
    )


def draw(shown: list[Shown], clean: np.ndarray, clean_largest: float) -> Figure:
    """Base images (`clean`, one per poison) above, one row per beta below; left columns within the clean
    range, right ones beyond it."""
    kinds = choose(shown, clean_largest)
    lines = 1 + len(shown)
    width, height = INCHES * (2 * COLUMNS + GAP), INCHES * lines
    figure = Figure(figsize=(width, height))
    ratios = [1.0] * COLUMNS + [GAP] + [1.0] * COLUMNS
    axes = figure.subplots(
        lines,
        2 * COLUMNS + 1,
        squeeze=False,
        gridspec_kw={"wspace": 0.06, "hspace": 0.06, "width_ratios": ratios} | EDGES,
    )
    for place in axes.flat:
        place.set_axis_off()
    for kind, first in zip(kinds, (0, COLUMNS + 1), strict=True):
        axes[0, first].text(0, 1.12, kind.title, transform=axes[0, first].transAxes, ha="left", va="bottom")
        for column, row in enumerate(kind.rows):
            _show(axes[0, first + column], clean[row])
            for line, (part, belongs) in enumerate(zip(shown, kind.belongs, strict=True), start=1):
                if belongs[column]:
                    _show(axes[line, first + column], part.images[row])
    for line, label in enumerate(["clean", *(rf"$\beta$ = {part.beta:g}" for part in shown)]):
        axes[line, 0].text(-0.15, 0.5, label, transform=axes[line, 0].transAxes, ha="right", va="center")
    figure.text(
        0.5,
        -0.1 / height,
        note_of(shown, kinds, clean_largest).replace("beta", r"$\beta$"),
        ha="center",
        va="top",
        fontsize=7,
        color="0.25",
    )
    return figure


def _show(place: Axes, image: np.ndarray) -> None:
    place.imshow(np.clip(image.transpose(1, 2, 0), 0, 1), interpolation="nearest")
