"""GradPC with the gradient taken from the feature cache, over all training rows."""

from featpoison import softmax
from featpoison.attacks.attack import Attack, Made, Run
from featpoison.attacks.gradpc import GradPC, corrupted, memory, work
from featpoison.downstream.stored_heads import read_clean_head
from featpoison.downstream.task import read_task


def run(given: Run) -> Made:
    """Feature cache, clean heads -> target head."""
    task, clean = read_task(given.files["features"]), read_clean_head(given.files["clean"])
    exact = task.train.double()
    gradient = softmax.head_gradient(exact, task.train_labels, clean.to(exact))
    name, eps_w = given.choice.method, given.settings.eps_w
    return corrupted(name, task, clean, [gradient], eps_w=eps_w, train=task.train)


ATTACK = Attack(
    name="gradpc-feature",
    title="GradPC (feature space)",
    makes="target",
    settings=GradPC,
    section="gradpc",
    needs=("features", "clean"),
    run=run,
    work=work,
    memory=memory,
    gpu=False,
)
