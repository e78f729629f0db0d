"""The cells of the stage ablation, as its CSV has them and as it is rendered from there."""

from collections.abc import Iterable
from dataclasses import dataclass

from featpoison.results import csv_text
from featpoison.results.cells import Cell

FULL = "full"


@dataclass(frozen=True)
class AblationCell(Cell):
    """A cell, its place, and how its drop differs from that of the full pipeline."""

    pipeline: int = 1
    stage: str = FULL
    difference: float | None = None
    """This drop less that of the full pipeline, points; negative where the full pipeline does more harm."""
    difference_low: float | None = None
    difference_high: float | None = None
    """95 % interval of the difference, paired."""


def to_csv(cells: Iterable[AblationCell]) -> str:
    """CSV text; numbers with enough digits to be compared, empty where there is none."""
    return csv_text.to_csv(AblationCell, cells)


def from_csv(text: str) -> list[AblationCell]:
    """The inverse of `to_csv`, up to its rounding. Raises ValueError for other columns."""
    return csv_text.from_csv(AblationCell, text)
