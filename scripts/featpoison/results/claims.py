"""What a claim is: comparisons of accuracy drops, as a function of the numbers that exist.

A claim knows nothing of files: the same function says what a publication's own numbers make of it. The claims
of each publication stand in `papers/`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from featpoison.results.rows import Row


@dataclass(frozen=True)
class Key:
    """Which number: the drop of a row in a scenario; eps_d is infinite where the whole training set is
    perturbed."""

    scenario: str
    method: str
    beta: float | None
    eps_d: float
    set: str | float | None = None
    defence: str | None = None
    target: str | None = None
    cap: float | None = None
    pairing: str | None = None
    label: str | None = None


def key_of(row: Row, eps_d: float) -> Key:
    """The number of a row, whose scenario is known, at a budget."""
    assert row.scenario is not None
    return Key(eps_d=eps_d, **row.model_dump())


@dataclass(frozen=True)
class Comparison:
    """Claimed: drop(plus) > factor * drop(minus), or, with `within`, that the two differ by at most so many
    points and that the residual is small."""

    plus: Key
    minus: Key
    factor: float = 1.0
    within: float | None = None
    independent: bool = False
    """Whether the two sides have nothing in common although the scenario is the same."""

    @property
    def paired(self) -> bool:
        """Whether both sides saw the same test images, poison seeds and victim seeds, and per-image results
        exist."""
        return self.plus.scenario == self.minus.scenario and not self.independent

    @property
    def targets(self) -> tuple[str, ...]:
        """The target heads that the two rows aim at: mostly one, none where neither row has any."""
        aimed = (self.plus.target, self.minus.target)
        return tuple(dict.fromkeys(target for target in aimed if target is not None))


@dataclass(frozen=True)
class Claim:
    """A claim in words, and the comparisons that the numbers at hand allow."""

    number: int
    text: str
    needs: str
    compare: Callable[[Sequence[Key]], list[Comparison]]
    note: str = ""
