"""The numbers of the stage ablation: pipelines of stages with one stage at a time left out or replaced.

A row is a cell like those of the tables, from the same result files. Beside its drop stands the difference to
the drop of its full pipeline, with the interval of the crossed bootstrap on differences
(`bootstrap.contrast`): both sides see the same test images, poison seeds and victim seeds, whose luck so
cancels where they share it.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pydantic

from featpoison.common.settings import Settings
from featpoison.results.ablation_cells import FULL, AblationCell
from featpoison.results.bootstrap import contrast, pairable
from featpoison.results.cells import cells_of
from featpoison.results.claims import key_of
from featpoison.results.rows import Request
from featpoison.results.samples import STREAM, SampleError, Samples, read_files


class Place(Settings):
    """Where a row stands."""

    pipeline: int
    """Number of the pipeline, from 1."""
    stage: str
    """The stage that is left out or replaced; `full` for the whole pipeline, which comes first."""


def read_rows(text: str) -> tuple[list[tuple[Place, Request]], Samples]:
    """The rows with their places from JSON, and what their numbers come from. Raises SampleError."""
    values = json.loads(text)
    try:
        rows = values["rows"]
        places = [Place(**row["place"]) for row in rows]
        results = [row["result"] for row in rows]
    except (KeyError, TypeError, pydantic.ValidationError) as error:
        raise SampleError(f"rows: {error}; expected places and results") from None
    files = read_files(json.dumps({"scenarios": values["scenarios"], "results": results}))
    samples = Samples(files)
    own = [read_files(json.dumps(values | {"results": [one]})).results[0] for one in results]
    return list(zip(places, own, strict=True)), samples


def cells_of_rows(rows: Sequence[tuple[Place, Request]], samples: Samples) -> list[AblationCell]:
    """The cells of all rows, row by row and victim by victim.

    Raises SampleError where a pipeline does not begin with its full row, or where seeds or test images of two
    results cannot be compared pair by pair.
    """
    cells, full = [], dict[int, Request]()
    for place, request in rows:
        if (place.stage == FULL) != (place.pipeline not in full):
            raise SampleError(
                f"pipeline {place.pipeline}: {place.stage!r}, expected first {FULL!r} and then its stages"
            )
        whole = full.setdefault(place.pipeline, request)
        for cell in cells_of(request, samples.scenario(request), None):
            compared = {} if whole is request else _difference(request, whole, cell.victim, samples)
            cells.append(AblationCell(**asdict(cell), **place.model_dump(), **compared))
    return cells


def _difference(request: Request, full: Request, victim: str, samples: Samples) -> dict[str, Any]:
    """The paired difference of two drops as fields of a cell."""
    own, whole = (samples.sample(key_of(one.row, one.eps_d), victim, STREAM) for one in (request, full))
    if not pairable(own, whole):
        raise SampleError(
            f"{request.source}: other numbers of seeds or test images than {full.source}, expected the same"
        )
    found = contrast(own, whole)
    return {"difference": found.mean, "difference_low": found.low, "difference_high": found.high}
