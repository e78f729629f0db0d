"""What an attack says of itself. From one such object in the attack's own file follow the program's
arguments, the rule's inputs, the configuration's schema, the plan of costs and memory, the titles of tables
and the audit."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from featpoison.attacks.choices import Choice, Makes, Pairing, Tint
from featpoison.attacks.operations import Sizes, Work
from featpoison.common.settings import Settings
from featpoison.common.shards import Shard
from featpoison.records.checkpoints import Checkpoint

Need = Literal[
    "features", "images", "encoder", "clean", "trajectory", "target", "poisoned", "pairs", "decoder"
]
"""A file that an attack reads: the feature cache, the images, the encoder, the clean heads, heads at several
stages of training, the target head, the poisoned features of another attack, these paired with base images, a
decoder."""


@dataclass(frozen=True)
class Run:
    """What a program hands to an attack."""

    settings: Any
    """Of the attack's own class."""
    choice: Choice
    """Set, beta and target, from the table's row."""
    files: Mapping[str, Path]
    """By need."""
    device: torch.device
    checkpoint: Checkpoint
    """Where long work keeps its state."""
    budget: float = float("inf")
    """eps_d: poisons for each clean training row."""
    seed: int = 0
    """Poison seed."""
    victim: Any = None
    """Settings of the victim that the attack follows, of the class that it names."""
    shard: Shard = field(default_factory=Shard)
    """Which part of the rows; all of them unless the attack's rows are independent."""
    devices: int = 1
    """GPUs that the work may be spread over."""


@dataclass(frozen=True)
class Made:
    """Arrays by name and facts by name, as the product's file holds them."""

    arrays: dict[str, np.ndarray]
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Attack:
    """An attack."""

    name: str
    title: str
    """As tables show it."""
    makes: Makes
    settings: type[Settings]
    needs: tuple[Need, ...]
    run: Callable[[Run], Made]
    work: Callable[[Sizes, Any, float], Work]
    """Operations and bytes written, for sizes, settings and a number of poisons."""
    memory: Callable[[Sizes, Any, float], float]
    """Bytes of the arrays held in main memory at once, for sizes, settings and a number of poisons."""
    section: str = ""
    """Key of the configuration's `attacks` that holds its settings, which several attacks may share; empty:
    its own name with `_` for `-`."""
    tint: Tint = "none"
    ours: bool = False
    """Whether it is this project's and in no publication."""
    sets: tuple[str, ...] = ()
    """The sets that its poisons may be kept in, the usual one first; `cap` stands for any norm cap."""
    default_cap: float | None = None
    """The norm cap where a row names none and no other set is the usual one."""
    has_beta: bool = False
    """Whether a row names beta, the weight of staying close to the base images."""
    poisoned_by: str | None = None
    """The attack on features whose poisoned features it turns into images."""
    pairing: Pairing | None = None
    """Of an attack that pairs poisoned features with base images: where it finds these unless a row says
    otherwise."""
    by_budget: bool = False
    """Of an attack that makes a target head: whether the head depends on the budget eps_d."""
    follows: str | None = None
    """Of an attack that makes a target head from another one, which it needs as `target`: the name of that
    one."""
    victim: type[Settings] | None = None
    """Class of the settings of the victim that it follows step by step."""
    shardable: bool = False
    """Whether its rows are independent of each other, so that they can be spread over jobs."""
    gpu: bool = True
    """Whether its work is worth a GPU."""

    @property
    def key(self) -> str:
        """Key of the configuration's `attacks`."""
        return self.section or self.name.replace("-", "_")

    def check(self, choice: Choice) -> None:
        """Raise ValueError where the attack has no such set, pairing or label rule, or where a beta is
        missing or has nothing to do.

        Target heads are checked where the other attacks are known (`names.check`).
        """
        if (choice.beta is not None) != self.has_beta:
            expected = "a value" if self.has_beta else "none"
            raise ValueError(f"'beta' is {choice.beta}, expected {expected} for {self.name}")
        if choice.pairing is not None and self.pairing in (None, choice.pairing):
            usual = ", which does so anyway" if self.pairing else ""
            raise ValueError(f"'pairing' is {choice.pairing!r}, expected none for {self.name}{usual}")
        paired = choice.pairing or self.pairing
        if choice.label is not None and paired in (None, "within-class"):
            expected = "none where base images are not found among images of all labels"
            raise ValueError(f"'label' is {choice.label!r}, expected {expected}, as in {self.name}")
        kind = choice.set if isinstance(choice.set, str) or choice.set is None else "cap"
        if kind not in (self.sets or (None,)):
            expected = " or ".join("a norm cap" if one == "cap" else one for one in self.sets) or "none"
            raise ValueError(f"'set' is {choice.set!r}, expected {expected} for {self.name}")
