"""The reachable target (this project): the worst head that poisons of the budget may be able to hold in
place.

Of the candidates of `target_search`, all of them with a reachability threshold of at most a stated share of
eps_d, the one with the largest training error is chosen; of equal ones the longest. Nothing limits the
poisons' features here, and the head is mostly a short one, which only long features hold.
"""

from typing import Any

from featpoison.attacks.attack import Attack, Made, Run
from featpoison.attacks.operations import Sizes, Work
from featpoison.attacks.target_heads import describe
from featpoison.attacks.target_search import (
    Candidate,
    TargetSearch,
    head_of_candidate,
    limit_of,
    reachable_heads,
)
from featpoison.downstream.task import Task, read_task
from featpoison.downstream.trajectory import TrainedHeads, head_of, read_trajectory


def choose(task: Task, heads: TrainedHeads, settings: TargetSearch, budget: float) -> Candidate:
    """The candidate with the largest training error. Raises ValueError where none is reachable."""
    found = list(reachable_heads(task, heads, settings, limit_of(settings, budget)))
    return max(found, key=lambda one: (one.training_error, one.scale))


def made_of(name: str, task: Task, heads: TrainedHeads, chosen: Candidate, **facts: Any) -> Made:
    """The product of the choice of target `name`: which stage, which step, which scale."""
    facts |= {"eps_w": chosen.eps_w, "scale": chosen.scale}
    facts |= {
        "step_size": round(heads.step_size[chosen.stage].item(), 9),
        "epochs": int(heads.epochs[chosen.stage]),
    }
    return describe(task, name, [head_of_candidate(heads, chosen)], head_of(heads, chosen.stage), **facts)


def run(given: Run) -> Made:
    """Feature cache, heads at stages of training -> target head."""
    task, heads = read_task(given.files["features"]), read_trajectory(given.files["trajectory"])
    return made_of(given.choice.method, task, heads, choose(task, heads, given.settings, given.budget))


def work(sizes: Sizes, settings: Any, n: float) -> Work:
    """Passes over logits: nothing beside the other steps."""
    return Work()


def memory(sizes: Sizes, settings: Any, n: float) -> float:
    """The features, once in float64."""
    return sizes.held(features=5)


ATTACK = Attack(
    name="reachable",
    title="Reachable target",
    makes="target",
    settings=TargetSearch,
    section="target_search",
    needs=("features", "trajectory"),
    run=run,
    work=work,
    memory=memory,
    ours=True,
    by_budget=True,
    gpu=False,
)
