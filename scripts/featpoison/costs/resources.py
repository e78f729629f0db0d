"""What the rules of the graph ask for: GPUs, memory and run time, by the work that is planned."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

from featpoison.config import Config
from featpoison.costs.plan import PlannedJob, memory_of, sizes_of, work_of
from featpoison.graph.steps import Steps

GENEROUS = 6
"""Times the planned time: small encoders use a twentieth of a GPU, and an estimate that is too short costs a
restart."""


class Resources:
    """The resources of one configuration's rules. Without GPUs, for small work, nothing is planned in
    advance."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.gpu = 1 if config.gpu else 0
        self._steps = Steps(config)
        self.sizing = cache(lambda dataset, encoder: sizes_of(config, dataset, encoder))

    def attack_gpu(self, wildcards: Any) -> int:
        """GPUs of a rule that runs an attack: one, where there are any and the attack's work is worth it."""
        return self.gpu if self._steps.attack(wildcards).gpu else 0

    def memory(self, gigabytes: float, rule: str | None = None) -> Callable[[Any, int], int]:
        """Megabytes by wildcards and attempt: a part for libraries, and the arrays of `rule`. They double
        with each attempt, for a job that was killed for lack of memory."""

        def megabytes(wildcards: Any, attempt: int) -> int:
            libraries = 1000 * gigabytes
            arrays = self._arrays(rule, wildcards, libraries) if rule else 0
            return math.ceil((libraries + arrays) * 2 ** (attempt - 1))

        return megabytes

    def minutes(self, fixed: float, rule: str | None = None) -> Callable[[Any, int], int]:
        """Minutes by wildcards and attempt: a fixed part, and on a GPU one by the work of `rule`; double with
        each attempt."""

        def runtime(wildcards: Any, attempt: int) -> int:
            planned = self._planned_minutes(rule, wildcards) if rule and self.config.gpu else 0
            return math.ceil((fixed + planned) * 2 ** (attempt - 1))

        return runtime

    def _arrays(self, rule: str, wildcards: Any, guess: float) -> float:
        if not self.config.gpu:
            return guess
        return memory_of(PlannedJob(rule, dict(wildcards.items())), self.config, self.sizing) / 1e6

    def _planned_minutes(self, rule: str, wildcards: Any) -> float:
        work = work_of(PlannedJob(rule, dict(wildcards.items())), self.config, self.sizing)
        return GENEROUS * 60 * work.hours()
