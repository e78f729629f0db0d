"""Cells of the table of attacks on pre-training computed again from what is stored: poisons, features, heads.

Neither the training of encoders nor that of heads is repeated; their results are what is stored.
"""

import numpy as np
import torch

from featpoison import store
from featpoison.attacks.cross_pairs import Exposure
from featpoison.audit.cell_names import TableLine
from featpoison.audit.recompute import HEADS, Inputs, Recomputed, same_machine
from featpoison.audit.target_cell_names import clean_of
from featpoison.records import provenance
from featpoison.results.measured_targets import Aims, InFile, InPoisons, Seen, measured
from featpoison.results.target_cells import TargetRow, cell_from, cell_of

RATES = ("success", "clean_success", "accuracy", "clean_accuracy", "drop")
POINTS = tuple(f"{name}{end}" for name in RATES for end in ("", "_low", "_high"))
"""The columns in percent."""
ORIGINS = dict.fromkeys(POINTS, HEADS) | {
    "probability": HEADS,
    "clean_probability": HEADS,
    "rank": HEADS,
    "clean_rank": HEADS,
    "cosine": "test features",
    "clean_cosine": "test features",
    "targets": "poisons",
    "cross_pairs": "poisons, and the recorded crops and epochs",
}


def recompute(rows: list[TableLine]) -> list[Recomputed]:
    """The cells of lines with the same measures. Raises MissingInput, MeasureError, ValueError, StoreError,
    FileNotFoundError."""
    sources, clean = rows[0]["source"].split(), clean_of(rows[0])
    poisoned_arrays, clean_arrays = ([_measured(path) for path in paths] for paths in (sources, clean))
    same = all(
        same_machine(store.read_provenance(provenance.ROOT / path), torch.device("cpu"))
        for path in (*sources, *clean)
    )
    images = len(poisoned_arrays[0]["test_labels"])
    slack = (0.0, 0.0) if same else (1e-3, 200 / images)  # two test rows
    found = []
    for line in rows:
        printed = cell_from(line)
        own = {name: getattr(printed, name) for name in TargetRow.model_fields if hasattr(printed, name)}
        row = TargetRow(**own, measures=tuple(sources), clean=tuple(clean))
        again = cell_of(row, printed.victim, poisoned_arrays, clean_arrays)
        found.append(Recomputed(again, ORIGINS, *slack, points=POINTS))
    return found


def _measured(path: str) -> dict[str, np.ndarray]:
    """What a file of measures has to hold, by the inputs that its record names."""
    record = store.read_provenance(provenance.ROOT / path)
    inputs, settings = Inputs(record), record["settings"]
    exposure = settings["exposure"] and Exposure.model_validate(settings["exposure"], strict=False)
    aims: Aims
    if targets := settings.get("targets"):
        given = provenance.ROOT / targets, inputs.one("images"), inputs.one("encoders")
        aims = InFile(*given, exposure)
    else:
        poisons, seen = inputs.one("pretraining_poisons"), None
        if exposure:
            left = {file.stem: file for file in inputs.all("screened")}
            seen = Seen(exposure, left.get("images") or inputs.one("images"), left.get("poisons", poisons))
        aims = InPoisons(poisons, settings["task"], seen)
    return measured(aims, features=inputs.one("features"), heads=inputs.one("heads"))[0]
