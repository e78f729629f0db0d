"""GradPC along the gradient of one mini-batch, as in the attack's own code (Sun et al., 2020); several
draws."""

import torch

from featpoison import softmax
from featpoison.attacks.attack import Attack, Made, Run
from featpoison.attacks.gradpc import GradPC, corrupted, memory, work
from featpoison.common.seeds import stream
from featpoison.downstream.stored_heads import read_clean_head
from featpoison.downstream.task import read_task


def run(given: Run) -> Made:
    """Feature cache, clean heads -> one target head for each draw of a mini-batch."""
    settings: GradPC = given.settings
    task, clean = read_task(given.files["features"]), read_clean_head(given.files["clean"])
    gradients = []
    for draw in range(settings.draws):
        generator = stream(draw, device=torch.device("cpu"))
        rows = torch.randperm(len(task.train), generator=generator)[: settings.minibatch]
        exact = task.train[rows].double()
        gradients.append(softmax.head_gradient(exact, task.train_labels[rows], clean.to(exact)))
    name, eps_w = given.choice.method, given.settings.eps_w
    return corrupted(name, task, clean, gradients, eps_w=eps_w, train=task.train)


ATTACK = Attack(
    name="gradpc-minibatch",
    title="GradPC (mini-batch, feature space)",
    makes="target",
    settings=GradPC,
    section="gradpc",
    needs=("features", "clean"),
    run=run,
    work=work,
    memory=memory,
    gpu=False,
)
