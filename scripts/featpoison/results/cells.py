"""The numbers of a table, one row a cell, with their intervals, bounds and sources: the CSV beside every
LaTeX table.

Drops and intervals are those that claims are judged on (`samples`, `bootstrap`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from featpoison import store
from featpoison.attacks.choices import number
from featpoison.results import csv_text
from featpoison.results.bootstrap import Sample, contrast
from featpoison.results.rows import Request, Row

if TYPE_CHECKING:  # a table is rendered without torch, which takes seconds to import
    from featpoison.results.samples import Scenario


@dataclass(frozen=True)
class Cell:
    """One cell; accuracies and drops in percent, None where a number does not exist."""

    method: str
    beta: float | None
    eps_d: float
    seeds: str
    """Poison seeds x victim seeds."""
    victim: str
    """sgd100, converged, network for a whole network, or target for a head that no victim was trained to."""
    clean_accuracy: float
    accuracy: float
    drop: float
    drop_low: float
    drop_high: float
    """95 % interval of the drop over poison seeds, victim seeds and test images: the crossed bootstrap."""
    published_drop: float | None
    tau: float | None
    residual: float | None
    magnitude_ratio: float | None
    source: str
    poisons: float | None = None
    """Mean number of poisons that the victims saw."""
    removed: float | None = None
    """Mean number of poisons that a defence removed."""
    feature_distance: float | None = None
    """Mean ||f(nu) - zeta||^2 of feature-targeted attacks."""
    pixel_ratio: float | None = None
    """Mean largest pixel magnitude over the largest clean one."""
    psnr: float | None = None
    """dB, to the base images."""
    ssim: float | None = None
    """To the base images."""
    drop_8bit: float | None = None
    drop_8bit_low: float | None = None
    drop_8bit_high: float | None = None
    """The drop after the poisons were rounded to 8 bits, with its interval."""
    set: str | None = None
    """What the poisons are kept in: free, valid, constrained, emittable, or a norm cap."""
    target: str | None = None
    """Target head of an attack that has one."""
    defence: str | None = None
    scenario: str | None = None
    makes: str = "images"
    """What the attack makes: target, features, images or noise."""
    title: str = ""
    group: str = "none"
    """How the paper colours the row."""
    cap: float | None = None
    """Norm cap of the set emittable."""
    pairing: str | None = None
    """Where base images are looked for, where the row says it."""
    label: str | None = None
    """Whose labels the poisons have, where the row says it."""
    negative_share: float | None = None
    """Mean share of the entries of the poisons' features that are negative."""
    distinct_bases: float | None = None
    """Mean number of different clean rows that poisons started from."""
    dirty_labels: float | None = None
    """Mean number of poisons that have another label than their clean row."""


FACTS = {"residual": "residual", "magnitude_ratio": "feature_magnitude_ratio"} | {
    name: name
    for name in (
        "poisons",
        "removed",
        "feature_distance",
        "pixel_ratio",
        "psnr",
        "ssim",
        "negative_share",
        "distinct_bases",
        "dirty_labels",
    )
}


def fields_of(request: Request) -> dict[str, Any]:
    """What a request says of its cells."""
    row = request.row
    own: dict[str, Any] = row.model_dump(exclude={"set", "scenario"})
    own["set"] = row.set if isinstance(row.set, str | None) else number(row.set)
    said = {"eps_d": request.eps_d, "source": request.source, "makes": request.makes, "title": request.title}
    return own | said | {"scenario": row.scenario, "group": request.group}


def norm_cap(text: str) -> float | None:
    """The norm cap that a set in a CSV is; None for a set that is a word."""
    try:
        return float(text)
    except ValueError:
        return None


def request_of(cell: Mapping[str, str]) -> Request:
    """The request behind a line of a table's CSV. Raises KeyError for a missing column, ValueError for a
    value that does not fit."""
    kept_in = norm_cap(cell["set"]) or cell["set"] or None
    values: dict[str, Any] = {name: float(cell[name]) if cell[name] else None for name in ("beta", "cap")}
    words = ("method", "target", "defence", "scenario", "pairing", "label")
    values |= {"set": kept_in} | {name: cell[name] or None for name in words}
    row = Row(**values)
    said: dict[str, Any] = {name: cell[name] for name in ("source", "makes", "title", "group")}
    return Request(row=row, eps_d=float(cell["eps_d"]), **said)


def cells_of(request: Request, scenario: "Scenario", published: float | None) -> list[Cell]:
    """The cells of one request: two victims of an attack, or one target head; of EMN, the victims that its
    file holds.

    Raises SampleError where an attack has no clean heads to be compared with, or heads and accuracies do not
    agree.
    """
    path = Path(request.source)
    common = fields_of(request) | {"published_drop": published}
    tau = store.read_attributes(path).get("tau")  # of the attack's own target head; EMN has none
    if request.makes == "target":
        return [target_cell(common, scenario.drop(request, "sgd100"), tau)]
    arrays = store.read(path)
    victims = [name for name in ("network", "sgd100", "converged") if f"{name}_accuracy" in arrays]
    return [
        victim_cell(common, victim, drops_of(request, victim, scenario, arrays), arrays, tau)
        for victim in victims
    ]


def drops_of(request: Request, victim: str, scenario: "Scenario", arrays: Iterable[str]) -> list[Sample]:
    """The drop of a victim, and where its result file has them (`arrays`: their names) that of the 8-bit
    copies."""
    both = (False, True) if f"quantized_{victim}_accuracy" in arrays else (False,)
    return [scenario.drop(request, victim, rounded=rounded) for rounded in both]


def target_cell(common: dict[str, Any], drop: Sample, tau: float | None) -> Cell:
    """The cell of a target head, compared with the clean heads of all victim seeds; `common`: the fields of
    the request and the published drop."""
    none: dict[str, Any] = dict.fromkeys(("residual", "magnitude_ratio"))
    return Cell(**common, **_drop(drop), seeds="1x1", victim="target", tau=tau, **none)


def victim_cell(
    common: dict[str, Any],
    victim: str,
    drops: Sequence[Sample],
    arrays: Mapping[str, np.ndarray],
    tau: float | None,
) -> Cell:
    """The cell of a victim: its drop and maybe that of the 8-bit copies, and facts from the arrays of its
    result file."""
    values: dict[str, Any] = _drop(drops[0])
    for rounded in drops[1:]:
        again = contrast(rounded)
        values |= {"drop_8bit": again.mean, "drop_8bit_low": again.low, "drop_8bit_high": again.high}
    for field, name in FACTS.items():
        values[field] = float(np.mean(arrays[name])) if name in arrays else None
    poison_seeds, victim_seeds = map(len, drops[0].means[:2])
    return Cell(**common, **values, seeds=f"{poison_seeds}x{victim_seeds}", victim=victim, tau=tau)


def _drop(sample: Sample) -> dict[str, Any]:
    """Accuracies and drop as fields of a cell."""
    found = contrast(sample)
    own = {"clean_accuracy": sample.clean, "accuracy": sample.poisoned, "drop": found.mean}
    return own | {"drop_low": found.low, "drop_high": found.high}


def largest_swing(results: Iterable[Path]) -> float:
    """Largest range, in points, of an sgd100 victim's accuracy over its last epochs: a victim that still
    swings is no result."""
    name = "sgd100_accuracy"  # absent where whole networks are trained
    swings = [
        np.ptp(store.read(path, name)[name], axis=-1).max() for path in results if name in store.lengths(path)
    ]
    return 100 * float(max(swings, default=0.0))


def damping_of(results: Iterable[Path]) -> float | None:
    """The damping of the attack among these results that has one; None where none has.

    Raises ValueError where they differ.
    """
    found = [store.read_attributes(path).get("damping") for path in results]
    dampings = {one for one in found if one is not None}
    if len(dampings) > 1:
        raise ValueError(f"results of one table have dampings {sorted(dampings)}, expected one")
    return dampings.pop() if dampings else None


def perturbed_images(results: Iterable[Path]) -> int | None:
    """Training images behind EMN's results, which say so; None without such results. Raises ValueError where
    they differ."""
    facts = [store.read_attributes(path) for path in results]
    counts = {int(fact["images"]) for fact in facts if "images" in fact}
    if len(counts) > 1:
        raise ValueError(
            f"results of one table come from {sorted(counts)} training images, expected the same number"
        )
    return counts.pop() if counts else None


def to_csv(cells: Iterable[Cell]) -> str:
    """CSV text; numbers with enough digits to be compared, empty where there is none."""
    return csv_text.to_csv(Cell, cells)


def from_csv(text: str) -> list[Cell]:
    """The inverse of `to_csv`, up to its rounding. Raises ValueError for other columns."""
    return csv_text.from_csv(Cell, text)
