"""The attacks by name, in the order of tables. A name is that of the attack's file, with `_` for `-`."""

import importlib
from functools import cache

from featpoison.attacks.attack import Attack
from featpoison.attacks.choices import Choice, Makes

NAMES = (
    "gradpc-input",
    "tgda-input",
    "gc-input",
    "gradpc-feature",
    "gradpc-minibatch",
    "reachable",
    "reachable-bounded",
    "permuted",
    "random-step",
    "gc-feature",
    "decoder-inversion",
    "feature-matching",
    "exact-feature",
    "exact-feature-matching",
    "exact-cosine",
    "exact-spectral",
    "pushed-feature",
    "pushed-feature-matching",
    "exact-input",
    "emn-original",
    "emn-end-to-end",
    "emn-input",
    "mislabelled-random",
    "mislabelled-next",
    "mislabelled-influence",
)


def module_of(name: str) -> str:
    """The module that says everything about an attack. Raises ValueError for an unknown name.

    It is imported by name and not by an `import` statement, so that a product's code version covers the
    chosen attack and no other one.
    """
    if name not in NAMES:
        raise ValueError(f"attack {name!r} is unknown, expected one of {', '.join(NAMES)}")
    return f"featpoison.attacks.{name.replace('-', '_')}"


@cache
def load(name: str) -> Attack:
    """The attack of a name. Raises ValueError for an unknown one."""
    return importlib.import_module(module_of(name)).ATTACK


def load_all() -> dict[str, Attack]:
    """All attacks by name, in the order of tables."""
    return {name: load(name) for name in NAMES}


def is_targeted(name: str) -> bool:
    """Whether an attack aims at a target head, itself or through the poisoned features that it turns into
    images."""
    attack = load(name)
    if attack.poisoned_by is not None:
        return is_targeted(attack.poisoned_by)
    return "target" in attack.needs and attack.makes != "target"


@cache
def making(*makes: Makes) -> tuple[str, ...]:
    """The names of the attacks that make one of these."""
    return tuple(name for name, attack in load_all().items() if attack.makes in makes)


def check(choice: Choice) -> None:
    """Raise ValueError where the attack is unknown, or has no such set, beta or target."""
    load(choice.method).check(choice)
    targets = making("target") if is_targeted(choice.method) else (None,)
    if choice.target not in targets:
        expected = ", ".join(str(one) for one in targets if one) or "none"
        raise ValueError(f"'target' is {choice.target!r}, expected one of: {expected}, for {choice.method}")
