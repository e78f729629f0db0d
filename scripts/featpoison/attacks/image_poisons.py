"""What attacks that move images share: where poisons start, the range they may be kept in, the way through
the encoder and back, and what their file holds."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from featpoison import store
from featpoison.attacks.attack import Made, Run
from featpoison.attacks.base_rows import choose_initial, poison_count
from featpoison.attacks.choices import Set
from featpoison.attacks.constraints import Box
from featpoison.attacks.input_space import InputSpace, Objective, PullBack, optimise
from featpoison.common.pixels import to_pixels
from featpoison.common.precision import name_of, resolve
from featpoison.datasets.stored import pixel_range
from featpoison.downstream.task import Task
from featpoison.encoders.encoder import load_encoder
from featpoison.encoders.features import extract, pull_back


@dataclass(frozen=True)
class Start:
    """The base images of an attack: rows of the training set (n,), images as 8-bit values (n, 3, h, w),
    features (n, d), labels (n,)."""

    rows: Tensor
    images: Tensor
    features: Tensor
    labels: Tensor


def random_start(task: Task, run: Run) -> Start:
    """Where a poison seed starts: a random choice of training images, on the run's device."""
    rows = choose_initial(task.train_labels, poison_count(run.budget, len(task.train)), run.seed)
    images = store.read(run.files["images"], "train_images", rows=rows.numpy())["train_images"]
    return Start(
        rows,
        torch.from_numpy(images).to(run.device),
        task.train[rows].to(run.device),
        task.train_labels[rows].to(run.device),
    )


def allowed(kept_in: Set | None, images: Path) -> Box:
    """Where an attack's images stay while they move: anywhere if `free`, in [0, 1] if `valid`, in the range
    of the clean training images in the file `images` if `constrained`."""
    if kept_in == "constrained":
        return Box(*pixel_range(images))
    return Box(0.0, 1.0) if kept_in == "valid" else Box()


def through(encoder: Path, settings: InputSpace, device: torch.device) -> PullBack:
    """Gradients pushed back through the encoder in `encoder`, with BatchNorm folded."""
    folded = load_encoder(encoder).fold_batchnorm().to(device)
    return partial(pull_back, encoder=folded, dtype=resolve(settings.precision, device))


def move_images(run: Run, start: Start, objective: Objective, *, threshold: float) -> Made:
    """Minimise `objective` from the base images; resumes after a kill. Valid images are rounded to 8 bits.

    Made are the images, their features by the unfolded encoder, labels and base rows, how far the objective
    came, and in which `precision` the gradients were really computed.
    """
    settings: InputSpace = run.settings
    kept_in = run.choice.set
    assert kept_in is not None  # every attack that moves images has sets
    found = optimise(
        start.images,
        objective,
        settings,
        kept_in=kept_in,
        pull_back=through(run.files["encoder"], settings, run.device),
        within=allowed(kept_in, run.files["images"]),
        threshold=threshold,
        checkpoint=run.checkpoint,
    )
    images = to_pixels(found.poisons.cpu())
    encoder = load_encoder(run.files["encoder"]).to(run.device)
    features = extract(images, encoder, batch_size=settings.batch_size)
    arrays = {
        "images": images.numpy(),
        "features": features.numpy(),
        "labels": start.labels.cpu().numpy(),
        "base": start.rows.numpy(),
    }
    precision = name_of(resolve(settings.precision, run.device))
    return Made(arrays, found.facts() | {"precision": precision})
