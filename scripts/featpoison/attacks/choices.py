"""An attack with what a table's row chooses for it, and the segment of paths that says the same.

    gc-input_constrained_gradpc-feature
    feature-matching_emittable4_beta0.1_within-class_reachable
    exact-feature_cap1

The parts of a segment are the method, the set, beta, the pairing, the label rule and the target head, in this
order, joined by `_`, which no name contains. A part that the row leaves to the attack is left out.
"""

import re
from typing import Any, Literal, Self

from pydantic import PositiveFloat, ValidationError, model_validator

from featpoison.common.settings import Settings

NUMBER = r"\d+(?:\.\d+)?(?:e-?\d+)?"
NAME = r"[a-z][a-z0-9.-]*"
SEGMENT = (
    rf"(?P<method>{NAME})(?:_(?P<set>free|valid|constrained|(?P<kind>cap|emittable)(?P<cap>{NUMBER})))?"
    rf"(?:_beta(?P<beta>{NUMBER}))?(?:_(?P<pairing>all|within-class|random))?(?:_(?P<label>base)-label)?"
    rf"(?:_(?P<target>{NAME}))?"
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
Set = Literal["free", "valid", "constrained", "emittable"] | PositiveFloat
"""What poisons are kept in. `free`: nothing. `valid`: images of 8 bits. `constrained`: the range of the clean
images, near the base images. A number: features whose norm is at most this many times the clean features'
mean norm. `emittable`: such features, with the norm cap that the row names as `cap`, and no negative entry
where the encoder never emits one."""
Pairing = Literal["all", "within-class", "random"]
"""Where the base image of a poisoned feature comes from: the nearest of all clean images, the nearest of the
poison's label, or any clean image by chance."""


class Choice(Settings):
    """An attack and what its row chooses; None where the attack has no such choice."""

    method: str
    set: Set | None = None
    cap: PositiveFloat | None = None
    beta: PositiveFloat | None = None
    pairing: Pairing | None = None
    label: Literal["base"] | None = None
    target: str | None = None

    @model_validator(mode="after")
    def _cap_belongs_to_the_set(self) -> Self:
        if (self.cap is not None) != (self.set == "emittable"):
            expected = "a norm cap" if self.set == "emittable" else "none: only the set emittable has one"
            raise ValueError(f"'cap' is {self.cap}, expected {expected}")
        return self

    @property
    def norm_cap(self) -> float | None:
        """The largest norm of a poisoned feature, times the clean features' mean norm; None without one."""
        return self.cap if isinstance(self.set, str) else self.set

    @property
    def segment(self) -> str:
        """The folder of paths that belongs to this choice."""
        kept_in = None if self.set is None else str(self.set)
        if self.norm_cap is not None:
            kept_in = f"{'cap' if self.cap is None else 'emittable'}{number(self.norm_cap)}"
        near = f"beta{number(self.beta)}" if self.beta is not None else None
        label = f"{self.label}-label" if self.label is not None else None
        parts = (self.method, kept_in, near, self.pairing, label, self.target)
        return "_".join(part for part in parts if part is not None)


def parse(segment: str) -> Choice:
    """The choice that a folder of paths belongs to. Raises ValueError for another text."""
    found = re.fullmatch(SEGMENT, segment)
    if found is None:
        raise ValueError(
            f"{segment!r}: expected METHOD[_SET][_betaBETA][_PAIRING][_base-label][_TARGET], as "
            "gc-input_free_gradpc-feature"
        )
    part: dict[str, Any] = found.groupdict()
    kind, cap = part.pop("kind"), part.pop("cap")
    if kind == "cap":
        part["set"] = float(cap)
    elif kind == "emittable":
        part |= {"set": kind, "cap": float(cap)}
    values = part | {"beta": float(part["beta"]) if part["beta"] else None}
    try:
        return Choice.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{segment!r}: {error}") from None


def number(value: float) -> str:
    """A budget, a cap or a beta as paths show it: 0.03, 1. `float` gives the value back."""
    short = f"{value:g}"
    exact = short if float(short) == value else repr(float(value))
    return exact.replace("e+", "e")
