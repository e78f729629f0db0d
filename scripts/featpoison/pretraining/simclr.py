"""SimCLR (Chen et al., 2020, https://arxiv.org/abs/2002.05709): pull two views of an image together, push all others away."""

import logging
import math

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from featpoison.common.precision import Precision, resolve
from featpoison.common.progress import Progress
from featpoison.common.seeds import stream
from featpoison.common.settings import Settings
from featpoison.encoders.encoder import Architecture, Encoder
from featpoison.pretraining.augment import Augmentation, augment
from featpoison.records.checkpoints import Checkpoint

log = logging.getLogger(__name__)


class SimCLR(Settings):
    """Pre-training settings. The paper fixes epochs (800) and batch (512); the rest is the usual recipe for CIFAR."""

    architecture: Architecture = Architecture()
    """The encoder to train."""
    epochs: PositiveInt = 800
    """Passes over the training images."""
    batch_size: PositiveInt = 512
    """Images a step; each gives two views."""
    learning_rate: PositiveFloat = 0.06
    """Step size of SGD at batch 128, scaled linearly with the batch; warm-up, then a cosine to zero."""
    warmup_epochs: NonNegativeInt = 10
    """Epochs of linear warm-up."""
    momentum: NonNegativeFloat = 0.9
    """Momentum of SGD."""
    weight_decay: NonNegativeFloat = 5e-4
    """L2 penalty."""
    temperature: PositiveFloat = 0.5
    """tau of the NT-Xent loss."""
    projection: PositiveInt = 128
    """Output dimension of the projection head, a two-layer perceptron that is thrown away afterwards."""
    precision: Precision = "auto"
    """Arithmetic of the network; auto is bfloat16 on GPUs and on CPUs with bfloat16 instructions, where it is faster."""
    compile: bool = False
    """Compile the network (a C++ compiler is needed on CPUs)."""
    augmentation: Augmentation = Augmentation()
    """The two random views."""
    seed: int = 0
    """Seed of weights, order and views."""


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """NT-Xent loss, eq. 1 of SimCLR, mean over the 2n views; `first`, `second` (n, p), row i of both from image i."""
    n = len(first)
    views = F.normalize(torch.cat([first, second]).float(), dim=1)  # (2n, p)
    logits = views @ views.T / temperature
    logits.fill_diagonal_(-math.inf)
    partner = torch.arange(2 * n, device=views.device).roll(n)
    return F.cross_entropy(logits, partner)


def learning_rate(settings: SimCLR, step: int, steps: int) -> float:
    """The step size at `step`, with `steps` a pass: linear warm-up to the peak, then half a cosine to zero."""
    peak = settings.learning_rate * settings.batch_size / 128
    warmup, total = settings.warmup_epochs * steps, settings.epochs * steps
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def pretrain(images: Tensor, settings: SimCLR, *, device: torch.device, checkpoint: Checkpoint) -> tuple[Encoder, list[float]]:
    """The trained, frozen encoder and the mean loss of each epoch.

    `images` uint8 (n, 3, h, w), kept whole on the device. State is saved after each epoch and resumed from. Raises FloatingPointError
    when the loss is no longer finite, naming the epoch and the step.
    """
    network = _network(settings).to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), momentum=settings.momentum, weight_decay=settings.weight_decay)
    losses = _restore(checkpoint, network, optimizer)
    steps = len(images) // settings.batch_size
    if not steps:
        raise ValueError(f"{len(images)} images are fewer than one batch of {settings.batch_size}")
    forward = torch.compile(network) if settings.compile else network
    dtype = resolve(settings.precision, device)
    images = images.to(device)
    progress = Progress(settings.epochs * steps * settings.batch_size, "images", done=len(losses) * steps * settings.batch_size)
    network.train()
    for epoch in range(len(losses), settings.epochs):
        generator = stream(settings.seed, epoch, device=device)
        order = torch.randperm(len(images), generator=generator, device=device)
        total = torch.zeros((), device=device)
        for step in range(steps):
            rows = order[step * settings.batch_size : (step + 1) * settings.batch_size]
            pixels = images[rows].float().div_(255)
            views = augment(torch.cat([pixels, pixels]), settings.augmentation, generator)
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                first, second = forward(views.contiguous(memory_format=torch.channels_last)).chunk(2)
            loss = nt_xent(first, second, settings.temperature)
            optimizer.param_groups[0]["lr"] = learning_rate(settings, epoch * steps + step, steps)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach()
            progress.advance(settings.batch_size, note=f"epoch {epoch + 1} of {settings.epochs}")
        losses.append(total.item() / steps)
        if not math.isfinite(losses[-1]):
            raise FloatingPointError(f"epoch {epoch + 1}: the mean loss over {steps} steps is {losses[-1]}")
        log.info("epoch %d of %d: loss %.4f", epoch + 1, settings.epochs, losses[-1])
        _save(checkpoint, network, optimizer, losses)
    encoder = network[0]
    assert isinstance(encoder, Encoder)
    return encoder.freeze(), losses


def _network(settings: SimCLR) -> nn.Sequential:
    """Encoder and projection head with the seed's weights."""
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)  # module initialisation has no generator argument
        encoder = Encoder(settings.architecture)
        d = encoder.dimension
        return nn.Sequential(encoder, nn.Linear(d, d), nn.ReLU(inplace=True), nn.Linear(d, settings.projection))


def _save(checkpoint: Checkpoint, network: nn.Module, optimizer: torch.optim.Optimizer, losses: list[float]) -> None:
    momenta = {f"momentum.{i}": state["momentum_buffer"] for i, state in optimizer.state_dict()["state"].items()}
    checkpoint.save({f"network.{key}": value for key, value in network.state_dict().items()} | momenta, losses=losses)


def _restore(checkpoint: Checkpoint, network: nn.Module, optimizer: torch.optim.Optimizer) -> list[float]:
    state = checkpoint.load()
    if state is None:
        return []
    tensors, facts = state
    network.load_state_dict({key.removeprefix("network."): value for key, value in tensors.items() if key.startswith("network.")})
    full = optimizer.state_dict()
    full["state"] = {int(key.removeprefix("momentum.")): {"momentum_buffer": value} for key, value in tensors.items() if key.startswith("momentum.")}
    optimizer.load_state_dict(full)
    log.info("resumed after epoch %d", len(facts["losses"]))
    return facts["losses"]
