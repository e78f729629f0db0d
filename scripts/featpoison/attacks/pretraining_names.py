"""The attacks on pre-training by name, in the order of tables. A name is that of the attack's file, with `_`
for `-`.

They are apart from `names.py`, as an attack on pre-training is no kind of `Attack` (`pretraining_attack.py`).
"""

import importlib

from featpoison.attacks.pretraining_attack import PretrainingAttack

NAMES = ("poisoned-encoder", "reference-images", "target-images")


def module_of(name: str) -> str:
    """The module that says everything about an attack. Raises ValueError for an unknown name."""
    if name not in NAMES:
        raise ValueError(f"attack {name!r} is unknown, expected one of {', '.join(NAMES)}")
    return f"featpoison.attacks.{name.replace('-', '_')}"


def load(name: str) -> PretrainingAttack:
    """The attack of a name. Raises ValueError for an unknown one."""
    return importlib.import_module(module_of(name)).PRETRAINING_ATTACK


def load_all() -> dict[str, PretrainingAttack]:
    """All attacks by name, in the order of tables."""
    return {name: load(name) for name in NAMES}
