"""The numbers of the table of defences, one row for each attack, budget, defence and victim, with their
intervals: the CSV beside the LaTeX table.

Every drop is measured from the head that was trained on clean data without a defence, so that the drop that
remains behind a defence is what poisons and defence cost together; what the defence costs alone stands beside
it. Intervals are those of the crossed bootstrap over poison seeds, victim seeds and test images
(`bootstrap`).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from featpoison import store
from featpoison.attacks.choices import number
from featpoison.common.settings import Settings
from featpoison.results.bootstrap import STREAM, Sample, contrast, of_images
from featpoison.results.rows import Request
from featpoison.results.samples import VICTIMS, SampleError, Scenario


class DefenceRow(Settings):
    """An attack at one budget behind one defence, and the files of its numbers."""

    attack: Request
    """The attack, whose source is the result without a defence."""
    defence: str
    """Name."""
    title: str
    """Of the defence."""
    source: str
    """Result behind the defence."""
    clean: str
    """Result behind the defence without poisons."""
    seconds: str
    """The seconds of each poison seed."""

    @property
    def files(self) -> tuple[str, ...]:
        """All of them."""
        return self.attack.source, self.source, self.clean, self.seconds


@dataclass(frozen=True)
class DefenceCell:
    """A row of the CSV; accuracies, drops and shares in percent, None where a number does not exist."""

    method: str
    attack: str
    """Title."""
    set: str | None
    cap: float | None
    target: str | None
    eps_d: float
    defence: str
    title: str
    """Of the defence."""
    victim: str
    seeds: str
    """Poison seeds x victim seeds."""
    clean_accuracy: float
    """Without poisons, without defence."""
    attacked_accuracy: float
    """With poisons, without defence."""
    attacked_drop: float
    attacked_low: float
    attacked_high: float
    """clean_accuracy - attacked_accuracy, with its 95 % interval."""
    defended_clean_accuracy: float
    """Without poisons, behind the defence."""
    cost: float
    cost_low: float
    cost_high: float
    """clean_accuracy - defended_clean_accuracy."""
    defended_accuracy: float
    """With poisons, behind the defence."""
    drop: float
    drop_low: float
    drop_high: float
    """clean_accuracy - defended_accuracy: the drop that remains."""
    gain: float
    gain_low: float
    gain_high: float
    """defended_accuracy - attacked_accuracy."""
    precision: float | None
    """Poisons among the removed rows."""
    recall: float | None
    """Removed ones among the poisons."""
    clean_lost: float | None
    """Removed ones among the clean rows. These three are None for a defence that keeps all rows."""
    seconds: float
    """CPU seconds of the defence and the training of both victims, mean over poison seeds."""
    source: str


def cells_of(row: DefenceRow, scenario: Scenario) -> list[DefenceCell]:
    """The cells of a row, one for each victim that the defence has.

    Raises FileNotFoundError or StoreError for missing or damaged files, and SampleError where a result is of
    another test set than the feature cache.
    """
    defended, alone = store.read(Path(row.source)), store.read(Path(row.clean))
    common = _said(row) | _removal(row, defended)
    seconds: list[float] = json.loads(Path(row.seconds).read_text())
    common |= {"seconds": float(np.mean(seconds))}
    victims = [victim for victim in VICTIMS if f"{victim}_correct" in defended]
    return [DefenceCell(**common, **_drops(row, victim, scenario, defended, alone)) for victim in victims]


def _said(row: DefenceRow) -> dict[str, Any]:
    attack = row.attack.row
    kept_in = attack.set if isinstance(attack.set, str | None) else number(attack.set)
    own = {"method": attack.method, "attack": row.attack.title, "set": kept_in, "cap": attack.cap}
    own |= {"target": attack.target, "eps_d": row.attack.eps_d}
    return own | {"defence": row.defence, "title": row.title, "source": row.source}


def _removal(row: DefenceRow, defended: dict[str, np.ndarray]) -> dict[str, float | None]:
    """Precision, recall and the share of clean rows lost, in percent, all poison seeds together."""
    if not store.read_attributes(Path(row.source))["filters"]:
        return dict.fromkeys(("precision", "recall", "clean_lost"))
    total = {name: float(defended[name].sum()) for name in ("poisons", "clean")}
    poisons, clean = (float(defended[f"removed_{name}"].sum()) for name in ("poisons", "clean"))
    precision = 100 * poisons / (poisons + clean) if poisons + clean else None
    lost = 100 * clean / total["clean"]
    return {"precision": precision, "recall": 100 * poisons / total["poisons"], "clean_lost": lost}


def _drops(
    row: DefenceRow,
    victim: str,
    scenario: Scenario,
    defended: dict[str, np.ndarray],
    alone: dict[str, np.ndarray],
) -> dict[str, Any]:
    clean, name = scenario.clean_correct(victim), f"{victim}_correct"  # (1, V, m)
    for path, found in ((row.source, defended[name]), (row.clean, alone[name])):
        if found.shape[-1] != clean.shape[-1]:
            raise SampleError(
                f"{path}: of {found.shape[-1]} test images, expected the {clean.shape[-1]} of "
                f"{scenario.files.features}"
            )
    undefended = scenario.drop(row.attack, victim)
    remaining, cost = (of_images(clean, one[name], STREAM) for one in (defended, alone))
    poison_seeds, victim_seeds = map(len, remaining.means[:2])
    values: dict[str, Any] = {
        "victim": victim,
        "seeds": f"{poison_seeds}x{victim_seeds}",
        "clean_accuracy": remaining.clean,
        "attacked_accuracy": undefended.poisoned,
        "defended_clean_accuracy": cost.poisoned,
        "defended_accuracy": remaining.poisoned,
    }
    values |= _interval("attacked", undefended, first="attacked_drop") | _interval("cost", cost)
    values |= _interval("drop", remaining)
    return values | _interval("gain", undefended, remaining)


def _interval(name: str, plus: Sample, minus: Sample | None = None, first: str = "") -> dict[str, float]:
    found = contrast(plus, minus)
    return {first or name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}
