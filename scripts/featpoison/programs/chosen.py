"""The one attack or defence that a program is given by name.

It is imported by its name alone, without the list of all names. So a product's code version covers the chosen
module and no other one, and a new name in the list makes no product anew.
"""

import importlib
import re
from pathlib import Path
from typing import Any

from featpoison.records.provenance import module_file


def load(room: str, constant: str, name: str) -> tuple[Any, Path]:
    """The object `constant` in the file of `room` that has this name, with `_` for `-`; and that file.

    Raises ValueError for an unknown name.
    """
    module = f"featpoison.{room}.{name.replace('-', '_')}"
    try:
        file = module_file(module)
    except FileNotFoundError:
        file = None
    well_formed = file is not None and re.fullmatch(r"[a-z0-9-]+", name)
    found = getattr(importlib.import_module(module), constant, None) if well_formed else None
    if file is None or found is None:
        expected = f"expected the name of a file in featpoison/{room}/ with {constant}, - for _"
        raise ValueError(f"{name!r} is unknown, {expected}")
    return found, file
