"""Training whole networks, encoder and linear head together.

EMN perturbs images for such networks, and networks of this kind are its victims. SGD with momentum is written
out, as in `heads.py`: torch's own imports its compiler, which takes seconds in every job. A test compares the
two.
"""

import copy
import logging
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from featpoison.common.finite import first_not_finite
from featpoison.common.pixels import to_pixels
from featpoison.common.precision import Precision, resolve
from featpoison.common.progress import Progress
from featpoison.common.schedules import half_cosine
from featpoison.common.seeds import stream
from featpoison.common.settings import Settings
from featpoison.encoders.encoder import Encoder
from featpoison.heads import initial_omega
from featpoison.records.checkpoints import Checkpoint

log = logging.getLogger(__name__)
ORDER, VIEWS = 2, 3
"""First positions of a seed's random streams: the order of rows in an epoch, crops and flips in a step.

`heads.py` has the positions 0 and 1.
"""
Variant = Literal["original", "end-to-end", "input"]
"""Networks of EMN: trained whole from random weights or a given encoder, or a head on the frozen encoder."""


class Training(Settings):
    """One step of SGD.

    The paper says nothing of these settings. The values are those of EMN's authors
    (configs/cifar10/resnet18.yaml of their code).
    """

    batch_size: PositiveInt = 128
    """Images a step. The last batch of an epoch may be smaller, and is used too."""
    learning_rate: PositiveFloat = 0.1
    """First step size."""
    momentum: NonNegativeFloat = 0.9
    """Momentum."""
    weight_decay: NonNegativeFloat = 5e-4
    """L2 penalty on every parameter."""
    gradient_clip: PositiveFloat = 5.0
    """Largest Euclidean norm of a step's gradient over all parameters; a longer one is shortened to it."""


class NetworkVictims(Settings):
    """Victims that train a whole network, and their seeds."""

    training: Training = Training()
    """The optimiser. Half a cosine over all steps takes its step size to zero."""
    pretrained_learning_rate: PositiveFloat | None = None
    """First step size where the encoder starts pre-trained; null: the same as from random weights."""
    epochs: PositiveInt = 60
    """Passes over the training set (EMN's authors: 60)."""
    padding: NonNegativeInt = 4
    """Augmentation: every image is shifted by up to this many pixels, with black beyond its border, and
    mirrored with probability 1/2."""
    precision: Precision = "auto"
    """Arithmetic of the network."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Victim seeds: initial weights, order of rows, and augmentation."""


class Classifier(nn.Module):
    """An encoder and a linear head.

    A frozen encoder stays in evaluation mode, whatever the classifier's mode is.
    """

    def __init__(self, encoder: Encoder, *, classes: int, seed: int, frozen: bool) -> None:
        """The head has the untrained weights of `seed`. `encoder` is used as it is and not copied.

        It is trained along, or frozen where `frozen` says so.
        """
        super().__init__()
        self.frozen = frozen
        self.encoder = encoder.requires_grad_(not frozen)
        self.head = nn.utils.skip_init(nn.Linear, encoder.dimension, classes, device=encoder.mean.device)
        omega = initial_omega(classes, encoder.dimension, seed)
        with torch.no_grad():
            self.head.weight.copy_(omega[:, :-1])
            self.head.bias.copy_(omega[:, -1])

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (n, 3, h, w) in [0, 1] -> logits (n, C)."""
        return self.head(self.encoder(pixels.contiguous(memory_format=torch.channels_last)))

    def train(self, mode: bool = True) -> "Classifier":
        """Training or evaluation mode, for all but a frozen encoder. Returns the object itself."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def trained(self) -> list[nn.Parameter]:
        """The parameters that training changes, in order."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]


def with_random_weights(encoder: Encoder, *, classes: int, seed: int) -> Classifier:
    """The architecture of `encoder` with the random weights of `seed`, all trained, on the same device."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # module initialisation has no generator argument
        fresh = Encoder(encoder.architecture)
    fresh = fresh.to(encoder.mean.device).to(memory_format=torch.channels_last)
    return Classifier(fresh, classes=classes, seed=seed, frozen=False)


def from_pretrained(encoder: Encoder, *, classes: int, seed: int) -> Classifier:
    """A copy of `encoder` with the untrained head of `seed`, all trained."""
    return Classifier(copy.deepcopy(encoder), classes=classes, seed=seed, frozen=False)


def start_network(encoder: Encoder, variant: Variant, *, classes: int, seed: int) -> Classifier:
    """The untrained network of a variant of EMN and a seed, on the device of `encoder`.

    `original`: random weights. `end-to-end`: a copy of `encoder`, trained along. `input`: `encoder` itself,
    frozen. The attack and its victims start from the same networks.
    """
    if variant == "original":
        return with_random_weights(encoder, classes=classes, seed=seed)
    if variant == "end-to-end":
        return from_pretrained(encoder, classes=classes, seed=seed)
    return Classifier(encoder, classes=classes, seed=seed, frozen=True)


def first_rate(victims: NetworkVictims, variant: Variant) -> float:
    """The first step size of victims that start as `variant` says."""
    own = victims.pretrained_learning_rate if variant == "end-to-end" else None
    return own or victims.training.learning_rate


def shift_and_flip(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """A random crop of each image, after padding with black, mirrored with probability 1/2.

    `images` (n, 3, h, w) keep their shape; `padding` is in pixels. Every image draws its own crop.
    `generator` belongs to the images' device.
    """
    n, _, h, w = images.shape
    device = images.device
    top, left = (torch.randint(2 * padding + 1, (n, 1), generator=generator, device=device) for _ in range(2))
    flip = torch.rand(n, 1, generator=generator, device=device) < 0.5
    rows = top + torch.arange(h, device=device)  # (n, h)
    columns = torch.arange(w, device=device).expand(n, -1)
    columns = left + torch.where(flip, w - 1 - columns, columns)  # (n, w)
    padded = F.pad(images, (padding,) * 4).permute(0, 2, 3, 1)  # (n, h + 2 padding, w + 2 padding, 3)
    image = torch.arange(n, device=device).view(n, 1, 1)
    return padded[image, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)


class SGD:
    """SGD with momentum and weight decay.

    A step is that of torch.optim.SGD after torch.nn.utils.clip_grad_norm_.
    """

    def __init__(self, network: Classifier, training: Training, precision: Precision) -> None:
        """Velocities are zero before the first step."""
        self.network, self.training = network, training
        self.parameters = network.trained()
        self.velocity = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.dtype = resolve(precision, network.encoder.mean.device)

    def step(self, pixels: Tensor, labels: Tensor, rate: float) -> Tensor:
        """One step, with step size `rate`, on the mean loss of a batch in training mode.

        `pixels` (n, 3, h, w) in [0, 1], `labels` (n,). Returns the loss before the step, (), on its device.
        """
        with torch.autocast(pixels.device.type, self.dtype, enabled=self.dtype != torch.float32):
            logits = self.network.train()(pixels)
        loss = F.cross_entropy(logits.float(), labels)
        gradients = torch.autograd.grad(loss, self.parameters)
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
        scale = (self.training.gradient_clip / (norm + 1e-6)).clamp(max=1)
        with torch.no_grad():
            for parameter, velocity, gradient in zip(self.parameters, self.velocity, gradients, strict=True):
                velocity.mul_(self.training.momentum).add_(gradient * scale)
                velocity.add_(parameter, alpha=self.training.weight_decay)
                parameter.sub_(velocity, alpha=rate)
        return loss.detach()


def batch_rows(count: int, batch_size: int, seed: int, step: int) -> Tensor:
    """The rows of one step, (b,), on the CPU.

    Steps are counted from 0 over all epochs. Each epoch is a new random order of all `count` rows; its last
    batch may be smaller than `batch_size`.
    """
    epoch, place = divmod(step, -(-count // batch_size))
    order = torch.randperm(count, generator=stream(seed, ORDER, epoch, device=torch.device("cpu")))
    return order[place * batch_size : (place + 1) * batch_size]


def train_network(
    network: Classifier, images: Tensor, labels: Tensor, victims: NetworkVictims, *, seed: int, rate: float
) -> Classifier:
    """Train `network` in place on `images` (n, 3, h, w) with `labels` (n,). Returns it.

    Images are uint8 or floats in [0, 1]; `rate` is the first step size. Raises FloatingPointError, naming
    seed and step, at a loss that is not finite.
    """
    device, size = network.encoder.mean.device, victims.training.batch_size
    optimizer = SGD(network, victims.training, victims.precision)
    images, labels = images.to(device), labels.to(device)
    per_epoch = -(-len(images) // size)
    steps, losses = victims.epochs * per_epoch, []
    for step in range(steps):
        rows = batch_rows(len(images), size, seed, step).to(device, non_blocking=True)
        generator = stream(seed, VIEWS, step, device=device)
        views = shift_and_flip(to_pixels(images[rows]), victims.padding, generator)
        losses.append(optimizer.step(views, labels[rows], rate * half_cosine(step, steps)))
        if (step + 1) % per_epoch == 0:
            if found := first_not_finite(losses):
                place, loss = step + 1 - len(losses) + found[0], found[1]
                raise FloatingPointError(f"network victim of seed {seed}: the loss is {loss} at step {place}")
            losses.clear()
    return network


@torch.no_grad()
def predictions(network: Classifier, images: Tensor, *, batch_size: int = 500) -> Tensor:
    """The predicted classes (n,) on the CPU, computed in evaluation mode and float32.

    `images` (n, 3, h, w) are uint8 or floats in [0, 1].
    """
    device, parts = network.encoder.mean.device, [torch.empty(0, dtype=torch.int64)]
    network.eval()
    for start in range(0, len(images), batch_size):
        pixels = to_pixels(images[start : start + batch_size]).to(device, non_blocking=True)
        parts.append(network(pixels).argmax(1).cpu())
    return torch.cat(parts)


def retrain_networks(
    sets: Sequence[Tensor],
    labels: Tensor,
    test: tuple[Tensor, Tensor],
    build: Callable[[int], Classifier],
    victims: NetworkVictims,
    *,
    rate: float,
    checkpoint: Checkpoint,
) -> np.ndarray:
    """The test accuracies (S, V), in [0, 1], of networks trained on each of S sets by each of V victim seeds.

    `sets`: images (n, 3, h, w) each, uint8 or float in [0, 1], all with `labels` (n,). `test`: images and
    their labels. `build` makes the untrained network of a seed, and `rate` is the first step size. A run that
    was cut off goes on after the last network that was finished. Raises FloatingPointError as `train_network`
    does.
    """
    state = checkpoint.load()
    shares: list[float] = [] if state is None else state[1]["shares"]  # of the jobs that are done
    jobs = [(index, seed) for index in range(len(sets)) for seed in victims.seeds]
    progress = Progress(len(jobs), "networks", done=len(shares))
    for index, seed in jobs[len(shares) :]:
        network = train_network(build(seed), sets[index], labels, victims, seed=seed, rate=rate)
        correct = predictions(network, test[0]) == test[1]
        shares.append(correct.double().mean().item())
        checkpoint.save({}, shares=shares)
        progress.advance(1, note=f"set {index}, victim seed {seed}: accuracy {shares[-1]:.4f}")
    return np.array(shares).reshape(len(sets), len(victims.seeds))
