"""An attack with what a table's row chooses for it, and the segment of paths that says the same.

    gc-input_constrained_gradpc-feature
    feature-matching_cap2_beta0.1_gradpc-feature
    exact-feature_cap1

The parts of a segment are the method, the set, beta and the target head, in this order, joined by `_`, which
no name contains.
"""

import re
from typing import Literal

from pydantic import PositiveFloat, ValidationError

from featpoison.common.settings import Settings

NUMBER = r"\d+(?:\.\d+)?(?:e-?\d+)?"
NAME = r"[a-z][a-z0-9.-]*"
SEGMENT = (
    rf"(?P<method>{NAME})(?:_(?P<set>free|valid|constrained|cap(?P<cap>{NUMBER})))?"
    rf"(?:_beta(?P<beta>{NUMBER}))?(?:_(?P<target>{NAME}))?"
)
PATTERN = re.sub(r"\?P<\w+>", "?:", SEGMENT)
"""Matches every segment, without groups of a name: for wildcards."""

DEFAULT_TARGET = "gradpc-feature"
"""Target head of a targeted row that names none, and the one at which the residual of the other attacks is
reported."""
Makes = Literal["target", "features", "images", "noise"]
"""What an attack makes: a target head, poisoned features, poison images, or noise for every image of the
training set."""
Tint = Literal["none", "input", "targeted"]
"""The paper's colours of rows: heads and features, attacks in input space, attacks that aim at features."""
Set = Literal["free", "valid", "constrained"] | PositiveFloat
"""What poisons are kept in. `free`: nothing. `valid`: images of 8 bits. `constrained`: the range of the clean
images, near the base images. A number: features whose norm is at most this many times the clean features'
norm."""


class Choice(Settings):
    """An attack and what its row chooses; None where the attack has no such choice."""

    method: str
    set: Set | None = None
    beta: PositiveFloat | None = None
    target: str | None = None

    @property
    def norm_cap(self) -> float | None:
        """The set as a norm cap; None where it is not one."""
        return None if isinstance(self.set, str) else self.set

    @property
    def segment(self) -> str:
        """The folder of paths that belongs to this choice."""
        kept_in = f"cap{number(self.norm_cap)}" if self.norm_cap is not None else self.set
        near = f"beta{number(self.beta)}" if self.beta is not None else None
        return "_".join(str(part) for part in (self.method, kept_in, near, self.target) if part is not None)


def parse(segment: str) -> Choice:
    """The choice that a folder of paths belongs to. Raises ValueError for another text."""
    found = re.fullmatch(SEGMENT, segment)
    if found is None:
        raise ValueError(
            f"{segment!r}: expected METHOD[_SET][_betaBETA][_TARGET], as gc-input_free_gradpc-feature"
        )
    part = found.groupdict()
    kept_in = float(part["cap"]) if part["cap"] else part["set"]
    beta = float(part["beta"]) if part["beta"] else None
    values = {"method": part["method"], "set": kept_in, "beta": beta, "target": part["target"]}
    try:
        return Choice.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{segment!r}: {error}") from None


def number(value: float) -> str:
    """A budget, a cap or a beta as paths show it: 0.03, 1. `float` gives the value back."""
    short = f"{value:g}"
    exact = short if float(short) == value else repr(float(value))
    return exact.replace("e+", "e")
