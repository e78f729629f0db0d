"""The cells of the transfer matrix, as its CSV has them and as it is rendered from there."""

from collections.abc import Iterable
from dataclasses import dataclass

from featpoison.results import csv_text


@dataclass(frozen=True)
class TransferCell:
    """A cell of the matrix for one victim; accuracies and drops in percent, of 8-bit images."""

    title: str
    """Of the attack with its choices."""
    method: str
    set: str | None
    cap: float | None
    beta: float | None
    pairing: str | None
    label: str | None
    target: str | None
    """The attack's choices."""
    eps_d: float
    attacked: str
    """The encoder that the images were made against."""
    encoder: str
    """The encoder of the victim."""
    victim: str
    seeds: str
    """Poison seeds x victim seeds."""
    clean_accuracy: float
    accuracy: float
    drop: float
    drop_low: float
    drop_high: float
    """95 % interval, crossed bootstrap."""
    white_box_drop: float
    white_box_drop_low: float
    white_box_drop_high: float
    """The same images on the encoder that they were made against."""
    share: float | None
    """drop / white_box_drop, where the interval of the latter lies above 0."""
    magnitude_ratio: float
    """Mean norm of the images' features under the victim's encoder, relative to the clean ones."""
    source: str
    """The result file."""


def to_csv(cells: Iterable[TransferCell]) -> str:
    """CSV text; numbers with enough digits to be compared, empty where there is none."""
    return csv_text.to_csv(TransferCell, cells)


def from_csv(text: str) -> list[TransferCell]:
    """The inverse of `to_csv`, up to its rounding. Raises ValueError for other columns."""
    return csv_text.from_csv(TransferCell, text)
