"""The numbers of a table, one row a cell, with their intervals, bounds and sources: the CSV beside every LaTeX table."""

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from featpoison import store
from featpoison.intervals import Interval, interval


@dataclass(frozen=True)
class Cell:
    """One cell; accuracies and drops in percent, None where a number does not exist."""

    method: str
    beta: float | None
    eps_d: float
    seeds: str
    """Poison seeds x victim seeds."""
    victim: str
    """sgd100, converged, or target for a head that no victim was trained to."""
    clean_accuracy: float
    accuracy: float
    drop: float
    drop_low: float | None
    drop_high: float | None
    """95 % Student-t interval of the drop over poison seeds (each the mean over its victim seeds)."""
    published_drop: float | None
    tau: float
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


FACTS = {"residual": "residual", "magnitude_ratio": "feature_magnitude_ratio"} | {
    name: name for name in ("poisons", "removed", "feature_distance", "pixel_ratio", "psnr", "ssim")
}


@dataclass(frozen=True)
class Request:
    """What a cell shows and the result file that it comes from."""

    method: str
    beta: float | None
    eps_d: float
    source: str


def cells_of(request: Request, clean: Path, tau: float, published: float | None) -> list[Cell]:
    """The cells of one request: two victims of an attack, or one target head. `tau` is the threshold of the attack's target."""
    path = Path(request.source)
    common: dict[str, Any] = {**asdict(request), "published_drop": published}
    if request.method.startswith("gradpc-"):
        facts = store.read_attributes(path)
        before, after = 100 * facts["clean_accuracy"], 100 * facts["accuracy"]
        none: dict[str, Any] = dict.fromkeys(("drop_low", "drop_high", "residual", "magnitude_ratio"))
        own: dict[str, Any] = {
            "seeds": "1x1",
            "victim": "target",
            "clean_accuracy": before,
            "accuracy": after,
            "drop": before - after,
            "tau": facts["tau"],
        }
        return [Cell(**common, **own, **none)]
    return [_victim_cell(common, victim, path, clean, tau) for victim in ("sgd100", "converged")]


def _victim_cell(common: dict[str, Any], victim: str, path: Path, clean: Path, tau: float) -> Cell:
    arrays = store.read(path)
    before = _last_epoch(store.read(clean, f"{victim}_accuracy")[f"{victim}_accuracy"], victim)
    after = _last_epoch(arrays[f"{victim}_accuracy"], victim)
    drop = _drop(before, after)
    facts: dict[str, Any] = {field: float(np.mean(arrays[name])) if name in arrays else None for field, name in FACTS.items()}
    if (rounded := arrays.get(f"quantized_{victim}_accuracy")) is not None:
        again = _drop(before, _last_epoch(rounded, victim))
        facts |= {"drop_8bit": again.mean, "drop_8bit_low": again.low, "drop_8bit_high": again.high}
    return Cell(
        **common,
        seeds=f"{len(after)}x{after[0].size}",
        victim=victim,
        clean_accuracy=float(before.mean()),
        accuracy=float(after.mean()),
        drop=drop.mean,
        drop_low=drop.low,
        drop_high=drop.high,
        tau=tau,
        **facts,
    )


def _last_epoch(shares: np.ndarray, victim: str) -> np.ndarray:
    """Percent; of sgd100 the last epoch: (K, V, tail) -> (K, V); of converged (K,)."""
    return 100 * (shares[..., -1] if victim == "sgd100" else shares)


def _drop(before: np.ndarray, after: np.ndarray) -> Interval:
    """Of the drops paired by victim seed, (1, V) and (K, V), averaged over it: mean and interval over poison seeds."""
    drops = before - after
    return interval(drops.reshape(len(drops), -1).mean(1))


def largest_swing(results: Iterable[Path]) -> float:
    """Largest range, in points, of an sgd100 victim's accuracy over its last epochs: a victim that still swings is no result."""
    swings = [np.ptp(store.read(path, "sgd100_accuracy")["sgd100_accuracy"], axis=-1).max() for path in results]
    return 100 * float(max(swings, default=0.0))


def published_drops(path: Path, table: int) -> dict[tuple[str, float | None, float], float]:
    """The paper's drops of one table, by method, beta and eps_d."""
    with open(path, newline="") as file:
        return {
            (row["method"], float(row["beta"]) if row["beta"] else None, float(row["eps_d"])): float(row["accuracy_drop"])
            for row in csv.DictReader(file)
            if int(row["table"]) == table
        }


def to_csv(cells: Iterable[Cell]) -> str:
    """CSV text; numbers with enough digits to be compared, empty where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(Cell))
    for cell in cells:
        writer.writerow("" if value is None else f"{value:.6g}" if isinstance(value, float) else value for value in asdict(cell).values())
    return text.getvalue()


def from_csv(text: str) -> list[Cell]:
    """The inverse of `to_csv`, up to its rounding. Raises ValueError for other columns."""
    rows = list(csv.DictReader(io.StringIO(text)))
    names = [field.name for field in fields(Cell)]
    if rows and list(rows[0]) != names:
        raise ValueError(f"columns are {list(rows[0])}, expected {names}")
    texts = {"method", "seeds", "victim", "source"}
    values: list[dict[str, Any]] = [{name: row[name] if name in texts else float(row[name]) if row[name] else None for name in names} for row in rows]
    return [Cell(**one) for one in values]
