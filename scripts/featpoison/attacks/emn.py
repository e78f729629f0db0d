"""EMN, error-minimising noise (Huang et al., 2021, https://arxiv.org/abs/2101.04898; paper, sections 3.4 and
5.4).

    min over theta, min over delta_i, ||delta_i||_inf <= radius, of   sum_i loss(theta; x_i + delta_i, y_i)

A round trains theta for some steps on the noisy images and then moves every image's own noise by projected
sign gradient steps, theta fixed in evaluation mode, until theta errs on hardly any noisy training image.
Noise belongs to a row of the training set, whatever the order of batches, and is added before augmentation.
As in the authors' code, noise starts at zero, momentum lasts over rounds and the search does not augment
(`padding` would); their step size is constant, too.

Variants (Table 4). `original`: theta is a whole network with random weights; `end-to-end`: a whole network
that starts from the pre-trained encoder; `input`: the encoder is frozen, theta is the linear head, and images
are never augmented, because a linear head is trained on fixed features.
"""

import copy
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from featpoison import store
from featpoison.attacks.attack import Attack, Made, Run
from featpoison.attacks.choices import Tint
from featpoison.attacks.constraints import NoiseBall
from featpoison.attacks.operations import Sizes, Work, to_pixels_and_back, training_pass
from featpoison.common.finite import first_not_finite
from featpoison.common.precision import Precision, resolve
from featpoison.common.progress import Progress
from featpoison.common.seeds import stream
from featpoison.common.settings import Settings
from featpoison.datasets.stored import class_names, training_pixels
from featpoison.downstream.networks import (
    SGD,
    VIEWS,
    Classifier,
    Training,
    Variant,
    batch_rows,
    predictions,
    shift_and_flip,
    start_network,
)
from featpoison.encoders.encoder import Encoder, load_encoder
from featpoison.records.checkpoints import Checkpoint, pack, unpack

log = logging.getLogger(__name__)
UNBOUNDED_ROUNDS = 100  # counted in plans where the configuration sets no limit
LEVEL = 1 / 255  # one of 256 grey levels, in units of the pixel range


class EMN(Settings):
    """Settings of error-minimising noise."""

    radius: PositiveFloat = 8.0
    """Largest change of a pixel, in grey levels of 256 (paper: 8). Noise is what an image really changes by:
    it ends where the image would leave [0, 1]. The authors' code clips images in each noise step as well, but
    the noise that it keeps is that before the last clipping: at most one `step_size` more, in 1 to 1.5 % of
    the entries (measured, 0.8 levels there). Images of both are the same once they are clipped. The
    authors' network alone sees the rest, where the search trains it."""
    step_size: PositiveFloat = 0.8
    """Sign step of the noise, in grey levels (paper: 0.8)."""
    steps: PositiveInt = 20
    """Noise steps of every image in a round (paper: 20)."""
    training_steps: PositiveInt = 10
    """Training steps of the network in a round (paper: 10)."""
    stop_error: float = Field(0.01, ge=0, lt=1)
    """Training error on noisy images at which to stop (paper: 0.01)."""
    max_rounds: PositiveInt | None = None
    """Most rounds; null: until `stop_error` is reached, as in the paper."""
    images_per_class: PositiveInt | None = None
    """Work on this many training images of each class, the first of the training set; null: on all, as in the
    paper."""
    training: Training = Training(batch_size=512)
    """Optimiser of the network, the step size constant (the authors' batch: 512)."""
    pretrained_learning_rate: PositiveFloat | None = None
    """Step size of `end-to-end`, which starts from trained weights; null: as the others."""
    padding: NonNegativeInt = 0
    """Shift and mirror images in the search too, as the victims do, by up to this many pixels; 0: neither, as
    in the authors' code."""
    precision: Precision = "auto"
    """Arithmetic of the network; the noise is float32 always."""


@dataclass(frozen=True)
class Found:
    """Noise (n, 3, h, w) float32 on the CPU, the training error after each round, and whether the criterion
    ended the search."""

    noise: Tensor
    errors: tuple[float, ...]
    by_criterion: bool


def balanced_rows(labels: Tensor, per_class: int | None) -> Tensor:
    """Rows, ascending, of the first `per_class` images of each class (as many as there are); all rows without
    it."""
    if per_class is None:
        return torch.arange(len(labels))
    parts = [torch.nonzero(labels == label).flatten()[:per_class] for label in labels.unique()]
    return torch.cat(parts).sort().values


def first_rate(settings: EMN, variant: Variant) -> float:
    """The step size of a variant's search."""
    own = settings.pretrained_learning_rate if variant == "end-to-end" else None
    return own or settings.training.learning_rate


def perturb(
    images: Tensor,
    labels: Tensor,
    encoder: Encoder,
    settings: EMN,
    *,
    variant: Variant,
    classes: int,
    seed: int,
    checkpoint: Checkpoint,
    shards: int = 1,
) -> Found:
    """Error-minimising noise for `images` (n, 3, h, w), float32 in [0, 1], with `labels` (n,). Resumes after
    the last finished round.

    The encoder says on which device; `shards` spreads the noise steps (`minimise_all`) and changes no bit.
    Raises FloatingPointError naming round and step at a loss or gradient that is not finite.
    """
    device = encoder.mean.device
    images, labels = images.to(device), labels.to(device)
    network = start_network(encoder, variant, classes=classes, seed=seed)
    optimizer = SGD(network, settings.training, settings.precision)
    noise, errors = _restore(checkpoint, torch.zeros_like(images), network, optimizer)
    progress = Progress(len(images) * (settings.max_rounds or 0), "images", done=len(images) * len(errors))
    while not _finished(errors, settings):
        number, losses = len(errors), []
        for step in range(number * settings.training_steps, (number + 1) * settings.training_steps):
            rows = batch_rows(len(images), settings.training.batch_size, seed, step)
            rows = rows.to(device, non_blocking=True)
            pixels = images[rows] + noise[rows]
            if settings.padding and variant != "input":
                pixels = shift_and_flip(pixels, settings.padding, stream(seed, VIEWS, step, device=device))
            losses.append(optimizer.step(pixels, labels[rows], first_rate(settings, variant)))
        if found := first_not_finite(losses):
            text = f"training step {found[0]}: the loss is {found[1]}"
            raise FloatingPointError(f"EMN: round {number + 1}, {text}")
        noise = minimise_all(
            network, images, labels, noise, settings, progress=progress, number=number + 1, shards=shards
        )
        errors = (*errors, (predictions(network, images + noise) != labels.cpu()).double().mean().item())
        log.info("round %d: training error %.4f", len(errors), errors[-1])
        _save(checkpoint, noise, network, optimizer, errors)
    by_criterion = errors[-1] <= settings.stop_error
    if not by_criterion:
        log.warning(
            "ended by max_rounds = %d at training error %.4f, above %g",
            len(errors),
            errors[-1],
            settings.stop_error,
        )
    return Found(noise.cpu(), errors, by_criterion)


def minimise(
    network: Classifier, images: Tensor, labels: Tensor, noise: Tensor, settings: EMN, *, number: int = 1
) -> Tensor:
    """The noise (n, 3, h, w) of a block after the sign steps of round `number`, the network fixed in
    evaluation mode."""
    network.eval()
    dtype = resolve(settings.precision, images.device)
    ball, losses = NoiseBall(settings.radius * LEVEL, images), []
    for _ in range(settings.steps):
        leaf = (images + noise).requires_grad_(True)
        with torch.autocast(images.device.type, dtype, enabled=dtype != torch.float32):
            logits = network(leaf)
        # Images do not interact: the sum's gradient is each one's own.
        loss = F.cross_entropy(logits.float(), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, leaf)
        losses.append(loss.detach().where(gradient.isfinite().all(), torch.nan))
        noise = ball.project(noise - settings.step_size * LEVEL * gradient.sign())
    if found := first_not_finite(losses):
        text = "the loss or its gradient is not finite"
        raise FloatingPointError(f"EMN: round {number}, noise step {found[0]}: {text}")
    return noise


def minimise_all(
    network: Classifier,
    images: Tensor,
    labels: Tensor,
    noise: Tensor,
    settings: EMN,
    *,
    progress: Progress,
    number: int = 1,
    shards: int = 1,
) -> Tensor:
    """`minimise` of all rows (n, 3, h, w), in blocks of the training's batch size, spread over `shards` GPUs.

    Blocks are fixed and images do not interact: bits do not depend on `shards`, on GPUs of one kind. On a CPU
    shards are threads.
    """
    blocks = torch.arange(len(images), device=images.device).split(settings.training.batch_size)
    idle: SimpleQueue[Classifier] = SimpleQueue()
    for replica in _replicas(network, min(shards, len(blocks))):
        idle.put(replica)

    def work(block: Tensor) -> Tensor:
        replica = idle.get()
        try:
            pixels, classes, start = (
                tensor[block].to(replica.encoder.mean.device) for tensor in (images, labels, noise)
            )
            return minimise(replica, pixels, classes, start, settings, number=number)
        finally:
            idle.put(replica)

    moved = torch.empty_like(noise)
    with ThreadPoolExecutor(shards) as pool:
        for block, result in zip(blocks, pool.map(work, blocks), strict=True):
            moved[block] = result.to(moved.device)
            progress.advance(len(block), note=f"round {number}")
    return moved


def _replicas(network: Classifier, count: int) -> list[Classifier]:
    """The network, where it is, for the first shard; copies on the next GPUs in turn for the others; on a CPU
    all share the one."""
    device = network.encoder.mean.device
    if device.type == "cpu":
        return [network] * count
    places = [
        torch.device(device.type, (device.index + i) % torch.accelerator.device_count()) for i in range(count)
    ]
    return [network if place == device else copy.deepcopy(network).to(place) for place in places]


def _finished(errors: tuple[float, ...], settings: EMN) -> bool:
    return bool(errors) and (errors[-1] <= settings.stop_error or len(errors) == settings.max_rounds)


def _save(
    checkpoint: Checkpoint, noise: Tensor, network: Classifier, optimizer: SGD, errors: tuple[float, ...]
) -> None:
    velocity = {str(i): value for i, value in enumerate(optimizer.velocity)}
    tensors = pack(network=network.state_dict(), velocity=velocity, found={"noise": noise})
    checkpoint.save(tensors, errors=errors)


def _restore(
    checkpoint: Checkpoint, noise: Tensor, network: Classifier, optimizer: SGD
) -> tuple[Tensor, tuple[float, ...]]:
    """Noise and errors of the last finished round; network and velocities are set in place. Without a state,
    `noise` and no errors."""
    state = checkpoint.load()
    if state is None:
        return noise, ()
    tensors, facts = state
    groups = unpack(tensors)
    network.load_state_dict(groups["network"])
    for i, velocity in enumerate(optimizer.velocity):
        velocity.copy_(groups["velocity"][str(i)])
    log.info("resumed after round %d", len(facts["errors"]))
    return groups["found"]["noise"].to(noise), tuple(facts["errors"])


def make_noise(given: Run, variant: Variant) -> Made:
    """Images, encoder -> noise of each training image, or of a balanced part of them; labels, rows, training
    errors."""
    settings: EMN = given.settings
    images = given.files["images"]
    labels = torch.from_numpy(store.read(images, "train_labels")["train_labels"])
    base = balanced_rows(labels, settings.images_per_class)
    labels = labels[base]
    found = perturb(
        training_pixels(images, base),
        labels,
        load_encoder(given.files["encoder"]).to(given.device),
        settings,
        variant=variant,
        classes=len(class_names(images)),
        seed=given.seed,
        checkpoint=given.checkpoint,
        shards=given.devices,
    )
    arrays = {
        "noise": found.noise.numpy(),
        "labels": labels.numpy(),
        "base": base.numpy(),
        "error": torch.tensor(found.errors, dtype=torch.float64).numpy(),
    }
    facts = {
        "by_criterion": found.by_criterion,
        "radius": settings.radius,
        "variant": variant,
        "seed": given.seed,
    }
    return Made(arrays, facts)


def perturbed_images(sizes: Sizes, settings: Any) -> int:
    """Training images that noise is made for."""
    per_class = settings.images_per_class
    return sizes.train if per_class is None else per_class * sizes.classes


def work(sizes: Sizes, settings: Any, n: float) -> Work:
    """All rounds: the steps of the network and the noise steps of every image."""
    images, rounds = perturbed_images(sizes, settings), settings.max_rounds or UNBOUNDED_ROUNDS
    training = settings.training_steps * settings.training.batch_size * training_pass(sizes.forward)
    noise = settings.steps * images * to_pixels_and_back(sizes.forward)
    return Work(rounds * (training + noise), bytes=images * sizes.image_bytes)


def memory(sizes: Sizes, settings: Any, n: float) -> float:
    """The images with their noise, before and after a round, and the checkpoint of it."""
    return sizes.held(images=7, perturbed=perturbed_images(sizes, settings))


def attack(variant: Variant, title: str, tint: Tint) -> Attack:
    """What the variants have in common."""
    return Attack(
        name=f"emn-{variant}",
        title=title,
        makes="noise",
        settings=EMN,
        section="emn",
        needs=("images", "encoder"),
        run=partial(make_noise, variant=variant),
        work=work,
        memory=memory,
        tint=tint,
    )
