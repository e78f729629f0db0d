"""The target for bounded poisons (this project): the reachable head towards which emittable features of a
stated norm harm a retrained victim most, measured on the training rows.

Poisons that an encoder can emit, as images have, cannot hold the worst reachable heads: what counts for them
is how far they get. So the choice is by outcome. For each stage of training the longest admissible step and
half of it are candidates; towards each, gradient canceling looks for emittable features (gc_feature.py), the
victim of the paper's protocol is retrained on each result, all in one batched training where memory allows,
and the head whose victim errs most on the clean training rows is chosen.
"""

import logging
from itertools import groupby
from typing import Any

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from featpoison.attacks import gc_feature
from featpoison.attacks.attack import Attack, Made, Run
from featpoison.attacks.base_rows import choose_initial, poison_count
from featpoison.attacks.choices import Choice
from featpoison.attacks.constraints import features_allowed
from featpoison.attacks.gc_feature import CancelingLoss, GCFeature, cancel
from featpoison.attacks.operations import Sizes, Work, canceling_step, hessian_product
from featpoison.attacks.target_search import (
    Candidate,
    TargetSearch,
    head_of_candidate,
    limit_of,
    logits_of_step,
    made_of,
    reachable_heads,
)
from featpoison.downstream.accuracy import accuracy
from featpoison.downstream.task import Task, read_task
from featpoison.downstream.trajectory import TrainedHeads, read_trajectory
from featpoison.heads import SGD100, train_sgd
from featpoison.softmax import Head, head_gradient
from featpoison.solvers.training_sets import TrainingSets

log = logging.getLogger(__name__)
LARGEST_SETS = 5e8
"""Bytes that the poisons of a batched training may take; while it runs there are two copies of them."""


class BoundedSearch(TargetSearch):
    """Settings of the search by outcome."""

    feature_cap: PositiveFloat = 4.0
    """Norm cap of the features that stand in for the poisons, in clean mean norms. Where the encoder never
    emits a negative entry, they have none either (the set `emittable`)."""
    iterations: PositiveInt = 100
    """Steps of L-BFGS towards each candidate."""
    seed: NonNegativeInt = 0
    """Poison seed of these features, and victim seed."""


def candidates(task: Task, heads: TrainedHeads, settings: BoundedSearch, budget: float) -> list[Candidate]:
    """Of each stage the step with the largest training error among those reachable at full length, and half
    of it. Raises ValueError where no stage has any."""
    found = reachable_heads(task, heads, settings, limit_of(settings, budget))
    result = []
    for stage, same in groupby((one for one in found if one.scale == 1), key=lambda one: one.stage):
        worst = max(same, key=lambda one: one.training_error)
        base, direction = logits_of_step(
            task.train, Head.from_omega(heads.omega[stage]), heads.gradient[stage]
        )
        predicted = (base + worst.eps_w / 2 * direction).argmax(1)
        error = (predicted != task.train_labels).double().mean().item()
        result += [worst, Candidate(stage, worst.eps_w / 2, 1.0, error)]
    if not result:
        raise ValueError(
            "no head on the training trajectory is reachable at full length, expected at least one: add "
            "stages with fewer epochs or smaller steps"
        )
    return result


def choose(
    task: Task, heads: TrainedHeads, settings: BoundedSearch, victim: SGD100, budget: float
) -> tuple[Candidate, float]:
    """The candidate whose retrained victim errs most on the clean training rows, and that error.

    Computes on the device of `task`.
    """
    base = choose_initial(task.train_labels, poison_count(budget, len(task.train)), settings.seed)
    among = candidates(task, heads, settings, budget)
    towards = [head_of_candidate(heads, one) for one in among]
    together = sets_at_once(len(base), task.train.shape[1])
    errors = torch.cat(
        [
            victims_errors(task, towards[first : first + together], base, settings, victim)
            for first in range(0, len(among), together)
        ]
    )
    for one, error in zip(among, errors.tolist(), strict=True):
        log.info("stage %d, eps_w %.3g: the victim errs on %.1f %%", one.stage, one.eps_w, 100 * error)
    best = int(errors.argmax())
    return among[best], errors[best].item()


def sets_at_once(n: float, d: float) -> int:
    """How many sets of n poisoned features of d numbers have their victims trained together: as many as take
    `LARGEST_SETS` bytes."""
    return max(1, int(LARGEST_SETS / (4 * max(1, n) * d)))


def victims_errors(
    task: Task, towards: list[Head], base: Tensor, settings: BoundedSearch, victim: SGD100
) -> Tensor:
    """How often the victim of the poisons towards each of k heads errs on the clean training rows, (k,).

    Poisons have the labels of the clean rows `base` (n,), and start from their features.
    """
    poisons = torch.stack([canceled(task, head, base, settings) for head in towards])
    labels = task.train_labels[base].expand(len(poisons), -1)
    sets = TrainingSets(task.train, task.train_labels, poisons, labels)
    omega = train_sgd(sets, victim, classes=task.classes, seeds=(settings.seed,))[:, 0, -1]
    return 1 - accuracy(sets.clean, sets.clean_labels, omega)


def canceled(task: Task, head: Head, base: Tensor, settings: BoundedSearch) -> Tensor:
    """The emittable features (n, d), from the clean rows `base` (n,), that cancel the gradient at one head as
    well as they can."""
    head = head.to(task.train)
    labels, G = task.train_labels[base], head_gradient(task.train, task.train_labels, head)
    emittable = Choice(method="gc-feature", set="emittable", cap=settings.feature_cap)
    within = features_allowed(emittable, task.train)
    objective = CancelingLoss(labels, head, G)
    return cancel(task.train[base], objective, quick_canceling(settings), within=within).features


def quick_canceling(settings: BoundedSearch) -> GCFeature:
    """Settings of the canceling towards each candidate."""
    return GCFeature(optimizer="l-bfgs", iterations=settings.iterations)


def run(given: Run) -> Made:
    """Feature cache, heads at stages of training -> target head."""
    task, heads = read_task(given.files["features"]), read_trajectory(given.files["trajectory"])
    chosen, error = choose(task, heads, given.settings, given.victim, given.budget)
    return made_of(given.choice.method, task, heads, chosen, victim_training_error=error)


def work(sizes: Sizes, settings: Any, n: float) -> Work:
    """CancelingLoss towards two dozen candidates, and a victim for each."""
    steps = settings.iterations * canceling_step(n, sizes.features, sizes.classes)
    victim = 100 * hessian_product(sizes.train + n, sizes.features, sizes.classes)
    return Work(24 * victim, 24 * steps)


def memory(sizes: Sizes, settings: Any, n: float) -> float:
    """Canceling, and beside it the features in both precisions and sets of poisons for their victims."""
    together = min(24, sets_at_once(n, sizes.features))
    canceling = gc_feature.memory(sizes, quick_canceling(settings), n)
    return canceling + sizes.held(n, features=4, poisoned=3 * together)


ATTACK = Attack(
    name="reachable-bounded",
    title="Reachable target, bounded poisons",
    makes="target",
    settings=BoundedSearch,
    needs=("features", "trajectory"),
    run=run,
    work=work,
    memory=memory,
    ours=True,
    by_budget=True,
    victim=SGD100,
    gpu=False,
)
