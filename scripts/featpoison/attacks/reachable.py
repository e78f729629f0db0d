"""The reachable target (this project): the worst head that poisons of the budget may be able to hold in
place.

Of the candidates of `target_search`, all of them with a reachability threshold of at most a stated share of
eps_d, the one with the largest training error is chosen; of equal ones the longest. Nothing limits the
poisons' features here, and the head is mostly a short one, which only long features hold.
"""

from featpoison.attacks.attack import Attack, Made, Run
from featpoison.attacks.target_search import (
    Candidate,
    TargetSearch,
    limit_of,
    made_of,
    memory,
    reachable_heads,
    work,
)
from featpoison.downstream.task import Task, read_task
from featpoison.downstream.trajectory import TrainedHeads, read_trajectory


def choose(task: Task, heads: TrainedHeads, settings: TargetSearch, budget: float) -> Candidate:
    """The candidate with the largest training error. Raises ValueError where none is reachable."""
    found = list(reachable_heads(task, heads, settings, limit_of(settings, budget)))
    if not found:
        raise ValueError(
            f"no head on the training trajectory is reachable at eps_d = {budget:g}, expected at least one: "
            "add stages with fewer epochs or smaller steps, or lower 'smallest_step' or 'least_scale'"
        )
    return max(found, key=lambda one: (one.training_error, one.scale))


def run(given: Run) -> Made:
    """Feature cache, heads at stages of training -> target head."""
    task, heads = read_task(given.files["features"]), read_trajectory(given.files["trajectory"])
    return made_of(given.choice.method, task, heads, choose(task, heads, given.settings, given.budget))


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
