"""The transfer matrix as a heat map with numbers, and as a table."""

from itertools import groupby

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from featpoison.render.layout import set_words
from featpoison.render.plain_table import Table
from featpoison.results.transfer_cells import TransferCell

HEADS = ("Attack", "made against", "victim's encoder", "sgd100", "share", "converged", "share", "magnitude")
WORDS = 3
WIDTH, HEIGHT = 1.35, 0.62
"""Inches of a cell of the heat map."""


def title_of(cell: TransferCell) -> str:
    """The attack of a cell with its choices."""
    kept_in = set_words(_set(cell.set), cell.cap)
    return ", ".join(filter(None, (cell.title, kept_in, cell.target)))


def _set(text: str | None) -> str | float | None:
    try:
        return float(text or "")
    except ValueError:
        return text


def table_of(cells: list[TransferCell]) -> Table:
    """A line for each attack and pair of encoders, with both victims."""
    lines: list[tuple[str, ...]] = []
    starts = []
    for _, group in groupby(cells, key=title_of):
        starts.append(len(lines))
        for _, pair in groupby(group, key=lambda cell: (cell.attacked, cell.encoder)):
            by_victim = {cell.victim: cell for cell in pair}
            first, second = by_victim["sgd100"], by_victim["converged"]
            texts = (title_of(first), first.attacked, first.encoder)
            ratio = f"{first.magnitude_ratio:.2f}"
            lines.append((*texts, _drop(first), _share(first), _drop(second), _share(second), ratio))
    return Table(HEADS, WORDS, lines, notes_of(cells), frozenset(starts[1:]))


def notes_of(cells: list[TransferCell]) -> list[str]:
    """What a reader has to know under the table."""
    clean = {(cell.encoder, cell.victim): cell.clean_accuracy for cell in cells}
    told = ", ".join(f"{encoder} {victim} {value:.2f} %" for (encoder, victim), value in clean.items())
    seeds = sorted({f"{cell.seeds} ({cell.victim})" for cell in cells})
    return [
        f"Test accuracy drops in percentage points at a budget of {100 * cells[0].eps_d:g} %, of images that "
        "were made against one encoder and rounded to 8 bits, for victims on another: mean and 95 % interval "
        "over poison seeds, victim seeds and test images (crossed bootstrap).",
        "Share: of the drop on the encoder that they were made against, where the interval of that drop lies "
        "above 0; a dash elsewhere. Magnitude: mean norm of the images' features, relative to clean ones.",
        f"Clean accuracy: {told}. Seeds, poison x victim: {', '.join(seeds)}.",
    ]


def _drop(cell: TransferCell) -> str:
    return f"{cell.drop:.2f} [{cell.drop_low:.2f}, {cell.drop_high:.2f}]"


def _share(cell: TransferCell) -> str:
    return "–" if cell.share is None else f"{100 * cell.share:.0f} %"


def draw(cells: list[TransferCell]) -> Figure:
    """A row of maps for each attack, one for each victim; rows are the attacked encoders, columns the
    victims'."""
    attacks = [list(group) for _, group in groupby(cells, key=title_of)]
    victims = list(dict.fromkeys(cell.victim for cell in cells))
    rows, columns = (
        list(dict.fromkeys(getattr(cell, name) for cell in cells)) for name in ("attacked", "encoder")
    )
    size = (
        len(victims) * (WIDTH * len(columns) + 0.3) + 2.6,
        len(attacks) * (HEIGHT * len(rows) + 0.45) + 1.0,
    )
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(attacks), len(victims), sharex=True, sharey=True, squeeze=False)
    most = max(*(abs(cell.drop) for cell in cells), 1.0)
    for line, group in zip(panels, attacks, strict=True):
        for axes, victim in zip(line, victims, strict=True):
            own = [cell for cell in group if cell.victim == victim]
            _map(axes, own, rows, columns, most)
            axes.set_title(f"{title_of(own[0])}: {victim}", fontsize=7.5)
    figure.supxlabel("victim's encoder", fontsize=8)
    figure.supylabel("images made against", fontsize=8)
    return figure


def _map(axes: Axes, cells: list[TransferCell], rows: list[str], columns: list[str], most: float) -> None:
    """One map: colours are drops; the white-box cells are framed."""
    values = np.full((len(rows), len(columns)), np.nan)
    texts = np.full(values.shape, "", object)
    for cell in cells:
        place = rows.index(cell.attacked), columns.index(cell.encoder)
        values[place] = cell.drop
        share = "" if cell.share is None else f"\n{100 * cell.share:.0f} % of the white-box drop"
        white = cell.attacked == cell.encoder
        texts[place] = f"{cell.drop:.1f}\n[{cell.drop_low:.1f}, {cell.drop_high:.1f}]" + (
            "" if white else share
        )
        if white:
            corner = (place[1] + 0.02, place[0] + 0.02)
            axes.add_patch(Rectangle(corner, 0.96, 0.96, fill=False, edgecolor="black", zorder=3))
    seaborn.heatmap(
        values,
        ax=axes,
        annot=texts,
        fmt="",
        annot_kws={"fontsize": 6},
        cmap="vlag",
        vmin=-most,
        vmax=most,
        cbar=False,
        linewidths=0.5,
        xticklabels=columns,
        yticklabels=rows,
    )
    axes.tick_params(labelsize=6.5, rotation=0, length=0)
