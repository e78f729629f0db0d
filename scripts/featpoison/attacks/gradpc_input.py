"""GradPC with the gradient taken from the images through the encoder."""

from typing import Any

from featpoison import softmax, store
from featpoison.attacks.attack import Attack, Made, Run
from featpoison.attacks.gradpc import GradPC, corrupted
from featpoison.attacks.operations import Sizes, Work
from featpoison.downstream.stored_heads import read_clean_head
from featpoison.downstream.task import read_task
from featpoison.encoders.encoder import load_encoder
from featpoison.encoders.features import extract


def run(given: Run) -> Made:
    """Feature cache, clean heads, images, encoder -> target head."""
    encoder = load_encoder(given.files["encoder"]).to(given.device)
    with store.rows(given.files["images"], "train_images") as images:
        train = extract(images, encoder)
    task, clean = read_task(given.files["features"]), read_clean_head(given.files["clean"])
    gradient = softmax.head_gradient(train.double(), task.train_labels, clean.to(train.double()))
    name, eps_w = given.choice.method, given.settings.eps_w
    return corrupted(name, task, clean, [gradient], eps_w=eps_w, train=train)


def work(sizes: Sizes, settings: Any, n: float) -> Work:
    """One pass through the encoder."""
    return Work(sizes.train * sizes.forward)


def memory(sizes: Sizes, settings: Any, n: float) -> float:
    """The features, once in float64."""
    return sizes.held(features=5)


ATTACK = Attack(
    name="gradpc-input",
    title="GradPC (input space)",
    makes="target",
    settings=GradPC,
    section="gradpc",
    needs=("features", "clean", "images", "encoder"),
    run=run,
    work=work,
    memory=memory,
)
