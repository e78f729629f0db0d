"""The numbers of the transfer matrix: images that were made against one encoder, seen by the victims on
another.

Only images travel, after rounding to 8 bits. A row of the matrix is the encoder that they were made against,
a column the one that the victim's head is trained on; where both are the same, the attack is a white-box one.
A drop is compared with that of the clean victims on the column's encoder, and its share is of the white-box
drop of the row, which only a white-box drop has that exceeds its own interval.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from featpoison import store
from featpoison.results.bootstrap import Interval, Sample, contrast
from featpoison.results.cells import fields_of
from featpoison.results.rows import Request
from featpoison.results.samples import VICTIMS, SampleError, Samples, read_files
from featpoison.results.transfer_cells import TransferCell


def read_results(text: str) -> tuple[list[tuple[str, Request]], Samples]:
    """The results with the encoder that each was made against, from JSON, and what their numbers come from.

    The scenario of a result is the encoder of its victims. Raises SampleError.
    """
    values = json.loads(text)
    try:
        attacked = [str(one) for one in values["attacked"]]
        files = read_files(json.dumps({name: values[name] for name in ("scenarios", "results")}))
    except KeyError as error:
        raise SampleError(f"results: no {error}; expected attacked, scenarios and results") from None
    if len(files.results) != len(attacked):
        raise SampleError(
            f"results: {len(files.results)} different ones, expected {len(attacked)}, one for each of "
            "'attacked'"
        )
    return list(zip(attacked, files.results, strict=True)), Samples(files)


def cells_of_results(results: Sequence[tuple[str, Request]], samples: Samples) -> list[TransferCell]:
    """The cells in the order of the results, victim by victim.

    Raises SampleError where an attack has no white-box result to be compared with.
    """
    drop = cache(lambda request, victim: samples.scenario(request).drop(request, victim, rounded=True))
    white = {_attack(attacked, one): one for attacked, one in results if one.row.scenario == attacked}
    cells = []
    for attacked, request in results:
        if _attack(attacked, request) not in white:
            raise SampleError(
                f"{request.source}: no result of this attack on {attacked} itself, expected one"
            )
        for victim in VICTIMS:
            own, box = drop(request, victim), drop(white[_attack(attacked, request)], victim)
            cells.append(_cell(attacked, request, victim, own, contrast(box)))
    return cells


def _attack(attacked: str, request: Request) -> tuple[str, str, float]:
    """What the results of one row of a matrix have in common."""
    return attacked, request.row.choice.segment, request.eps_d


def _cell(attacked: str, request: Request, victim: str, sample: Sample, box: Interval) -> TransferCell:
    found, said = contrast(sample), fields_of(request)
    names = ("title", "method", "set", "cap", "beta", "pairing", "label", "target", "eps_d", "source")
    numbers: dict[str, Any] = {
        "drop": found.mean,
        "drop_low": found.low,
        "drop_high": found.high,
        "white_box_drop": box.mean,
        "white_box_drop_low": box.low,
        "white_box_drop_high": box.high,
    }
    poison_seeds, victim_seeds = map(len, sample.means[:2])
    ratio = store.read(Path(request.source), "feature_magnitude_ratio")["feature_magnitude_ratio"]
    return TransferCell(
        **{name: said[name] for name in names},
        **numbers,
        attacked=attacked,
        encoder=str(request.row.scenario),
        victim=victim,
        seeds=f"{poison_seeds}x{victim_seeds}",
        clean_accuracy=sample.clean,
        accuracy=sample.poisoned,
        share=found.mean / box.mean if box.low > 0 else None,
        magnitude_ratio=float(ratio.mean()),
    )
