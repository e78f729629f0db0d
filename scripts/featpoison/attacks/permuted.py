"""The permuted target (this project): the clean head whose rows are moved on by one class, shortened until it
is reachable.

It calls nearly every image the next class, and it is the clean head of the victims' protocol in all other
respects. Its length is the largest one whose reachability threshold is at most a stated share of eps_d.
"""

from typing import Any

from featpoison import softmax
from featpoison.attacks.attack import Attack, Made, Run
from featpoison.attacks.target_heads import describe
from featpoison.attacks.target_search import TargetSearch, limit_of, longest_reachable, memory, work
from featpoison.downstream.stored_heads import read_clean_head
from featpoison.downstream.task import read_task
from featpoison.softmax import Head


def run(given: Run) -> Made:
    """Feature cache, clean heads -> target head."""
    settings: Any = given.settings
    task, clean = read_task(given.files["features"]), read_clean_head(given.files["clean"])
    moved = clean.omega.roll(1, 0)  # the row of class k becomes that of class k + 1
    exact = task.train.double()
    S = softmax.logits(exact, Head.from_omega(moved).to(exact))
    scale = longest_reachable(S, task.train_labels, limit_of(settings, given.budget))
    assert scale is not None  # at scale 0 the threshold is 0
    return describe(
        task, given.choice.method, [Head.from_omega(scale * moved)], clean, scale=scale, eps_w=None
    )


ATTACK = Attack(
    name="permuted",
    title="Permuted head",
    makes="target",
    settings=TargetSearch,
    section="target_search",
    needs=("features", "clean"),
    run=run,
    work=work,
    memory=memory,
    ours=True,
    by_budget=True,
    gpu=False,
)
