r"""mislabelled-influence (a baseline): copies of training images, image and wrong label chosen by influence.

The poison seed splits the training set into two halves. The converged victim is trained on the first one,
which has M rows, and the copies that raise the loss Lambda of the second one most (summed, clean labels) are
taken. Test data enters nowhere. Influence functions are those of Koh and Liang (2017, arXiv 1703.04730).

The victim that is trained on the half has a larger ridge than the one that is attacked, as is usual with
influence functions (`damping`): half of the data is overfitted, and q would follow what it overfits.

The sign. Let omega be the victim of the first half and H the Hessian of its objective, mean loss with ridge,
at omega. There the gradient of the mean loss is -ridge omega. A copy (x, y') with loss l changes the
objective's gradient at omega from 0 to (M (-ridge omega) + grad l) / (M+1) + ridge omega, so

    delta omega  = - H^-1 (grad l + ridge omega) / (M+1)                       to first order,
    delta Lambda = - <q, grad l + ridge omega> / (M+1),    q = H^-1 grad_omega Lambda.

The ridge's term is the same for every copy. What orders them is the score

    - <q, grad l> = u_y' - p . u,    u = q z,

because grad l = (p - e_y') z^T, with z = [features of x, 1] and p = softmax(omega z): the larger the score,
the more harm. All N x C scores are two products of the features with a matrix.
"""

from typing import Any

import torch
from torch import Tensor

from featpoison import softmax
from featpoison.attacks.attack import Attack, Made, Run
from featpoison.attacks.base_rows import choose_initial, poison_count
from featpoison.attacks.mislabelled import Mislabelled, copies, memory_of_copies
from featpoison.attacks.operations import NEWTON_STEP_PRODUCTS, Sizes, Work, hessian_product
from featpoison.downstream.task import read_task
from featpoison.softmax import Head
from featpoison.solvers.newton import Converged, Newton
from featpoison.solvers.training_sets import TrainingSets

NEWTON_STEPS = 12
"""Planned steps of `NEWTON_STEP_PRODUCTS` Hessian products each, from the zero head to the converged one."""


def halves(labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """The rows of the two random halves of a training set with these `labels` (N,); of an odd number the
    first half has one more."""
    first, second = choose_initial(labels, len(labels), seed).tensor_split(2)
    return first, second


def influence(
    X: Tensor, labels: Tensor, victim: Converged, *, classes: int, seed: int, tolerance: float
) -> Tensor:
    """The score of adding a copy of each row with each label, float64 (N, C); of the right label -infinity.

    `X` (N, d) are the features of the training set, `labels` (N,) its labels. `tolerance` is the largest
    relative residual of q. A score over M + 1 is the increase of Lambda in nats, up to a constant.
    """
    first, second = (rows.to(X.device) for rows in halves(labels, seed))
    newton = Newton(TrainingSets.of_clean(X[first], labels[first]), victim)
    omega, _ = newton.minimise(newton.sets.clean.new_zeros(1, classes, X.shape[1] + 1))
    head = Head.from_omega(omega[0])
    leader = softmax.head_gradient(X[second].double(), labels[second], head)
    q = newton.solve(omega, leader.unsqueeze(0), tolerance)[0]
    P, U = softmax.probabilities(X.double(), head), softmax.logits(X.double(), Head.from_omega(q))
    scores = U - (P * U).sum(1, keepdim=True)
    return scores.scatter(1, labels.unsqueeze(1), -torch.inf)


def most_harmful(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The rows (n,) and labels (n,) of the `count` largest `scores` (N, C), the largest first.

    Each row is taken once, with its best label, before the first one is taken again; so it is taken at most
    ceil(n / N) times.
    """
    best = scores.max(1)
    order = best.values.argsort(descending=True, stable=True)
    rows = order.repeat(-(-count // len(order)))[:count]
    return rows, best.indices[rows]


def run(given: Run) -> Made:
    """Images, feature cache -> copies with wrong labels, those of the largest scores."""
    settings: Mislabelled = given.settings
    task = read_task(given.files["features"])
    damped: Converged = given.victim.model_copy(update={"ridge": given.victim.ridge + settings.damping})
    scores = influence(
        task.train.to(given.device),
        task.train_labels.to(given.device),
        damped,
        classes=task.classes,
        seed=given.seed,
        tolerance=settings.tolerance,
    )
    rows, labels = most_harmful(scores.cpu(), poison_count(given.budget, len(task.train)))
    return copies(task, given, rows, labels)


def work(sizes: Sizes, settings: Any, n: float) -> Work:
    """A converged victim of half of the training set."""
    step = NEWTON_STEP_PRODUCTS * hessian_product(sizes.train / 2, sizes.features, sizes.classes)
    return Work(0, NEWTON_STEPS * step, n * sizes.image_bytes)


def memory(sizes: Sizes, settings: Any, n: float) -> float:
    """The copies, and the features in both precisions, with those of each half."""
    return memory_of_copies(sizes, n, features=8)


ATTACK = Attack(
    name="mislabelled-influence",
    title="Baseline: wrong labels, by influence",
    makes="images",
    settings=Mislabelled,
    needs=("images", "features"),
    run=run,
    work=work,
    memory=memory,
    section="mislabelled",
    victim=Converged,
    gpu=False,
)
