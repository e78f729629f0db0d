"""The random step (this project): the target `reachable-bounded` with its step along a random direction.

Head, length of the step and shortening are those of the chosen target, and only the direction is left to
chance: what the chosen target costs beyond this is what the gradient is worth. There are several draws, of
which poison seed s aims at draw s modulo their number.
"""

import math
from typing import Any

import torch
from pydantic import PositiveInt

from featpoison import store
from featpoison.attacks.attack import Attack, Made, Run
from featpoison.attacks.target_heads import describe
from featpoison.attacks.target_search import memory, work
from featpoison.common.seeds import stream
from featpoison.common.settings import Settings
from featpoison.downstream.task import read_task
from featpoison.downstream.trajectory import TrainedHeads, head_of, read_trajectory
from featpoison.softmax import Head

STEP = ("step_size", "epochs", "eps_w", "scale")
"""What a chosen target says of its making: the training of the head before the step, the step's length, and
how much the result was shortened."""


class RandomStep(Settings):
    """Settings of the random step."""

    draws: PositiveInt = 5
    """Directions drawn, each of which gives a target head."""


def stage_of(heads: TrainedHeads, step_size: float, epochs: int) -> int:
    """The stage of training with this step size and number of epochs. Raises ValueError where there is
    none."""
    stages = zip(heads.step_size.tolist(), heads.epochs.tolist(), strict=True)
    for stage, (size, count) in enumerate(stages):
        if math.isclose(size, step_size, rel_tol=1e-6) and count == epochs:  # of which one is float32
            return stage
    raise ValueError(f"no stage of training has step size {step_size:g} and {epochs} epochs, expected one")


def stepped(head: Head, eps_w: float, scale: float, draw: int) -> Head:
    """scale (omega + eps_w u), with u the draw's random direction, uniform on the unit sphere of (C, d+1)."""
    omega = head.omega
    u = torch.randn(omega.shape, generator=stream(draw, device=torch.device("cpu")))
    return Head.from_omega(scale * (omega + eps_w * u / u.norm()))


def run(given: Run) -> Made:
    """Feature cache, heads at stages of training, the chosen target -> a target head for each draw."""
    task, heads = read_task(given.files["features"]), read_trajectory(given.files["trajectory"])
    chosen = store.read_attributes(given.files["target"])
    facts: dict[str, Any] = {name: chosen[name] for name in STEP}
    start = head_of(heads, stage_of(heads, facts["step_size"], facts["epochs"]))
    draws = range(given.settings.draws)
    found = [stepped(start, facts["eps_w"], facts["scale"], draw) for draw in draws]
    return describe(task, given.choice.method, found, start, **facts)


ATTACK = Attack(
    name="random-step",
    title="Reachable target's step, random direction",
    makes="target",
    settings=RandomStep,
    needs=("features", "trajectory", "target"),
    run=run,
    work=work,
    memory=memory,
    ours=True,
    by_budget=True,
    follows="reachable-bounded",
    gpu=False,
)
