"""SimCLR (Chen et al., 2020, https://arxiv.org/abs/2002.05709): contrastive pre-training of an encoder.

Two views of one image are pulled together, and all other views are pushed away.
"""

import logging
import math
from collections.abc import Callable, Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from featpoison.common.precision import Precision, resolve
from featpoison.common.progress import Progress
from featpoison.common.schedules import half_cosine
from featpoison.common.seeds import stream
from featpoison.common.settings import Settings
from featpoison.encoders.architecture import Architecture
from featpoison.encoders.encoder import Encoder
from featpoison.pretraining.augment import Augmentation, random_colours, random_crops
from featpoison.records.checkpoints import Checkpoint, load_optimizer, optimizer_tensors, pack, unpack

log = logging.getLogger(__name__)
MOMENTUM = ".momentum_buffer"  # how torch's SGD names its only state


class SimCLR(Settings):
    """Settings of pre-training.

    The paper gives epochs (800) and batch size (512); the rest is usual for CIFAR.
    """

    architecture: Architecture = Architecture()
    """The encoder to train."""
    epochs: PositiveInt = 800
    """Passes over the training images. What does not fill a batch is left out, other images in each epoch."""
    batch_size: Annotated[int, Field(ge=2)] = 512
    """Images a step; each gives two views. A single image has no other one that its views could be told
    from."""
    learning_rate: PositiveFloat = 0.06
    """Step size of SGD at batch size 128, scaled linearly with the batch size. It warms up, and then falls to
    zero along half a cosine."""
    warmup_epochs: NonNegativeInt = 10
    """Epochs of linear warm-up."""
    momentum: NonNegativeFloat = 0.9
    """Momentum of SGD."""
    weight_decay: NonNegativeFloat = 5e-4
    """L2 penalty."""
    temperature: PositiveFloat = 0.5
    """tau of the NT-Xent loss."""
    projection: PositiveInt = 128
    """Output dimension of the projection head, a perceptron of two layers that training throws away."""
    precision: Precision = "auto"
    """Arithmetic of the network; auto is bfloat16 on GPUs and on CPUs with bfloat16 instructions, where it is
    faster."""
    compile: bool = False
    """Whether to compile the network, for which CPUs need a C++ compiler."""
    augmentation: Augmentation = Augmentation()
    """The two random views."""
    seed: int = 0
    """Seed of weights, order of images, and views."""


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """The NT-Xent loss (SimCLR, eq. 1), the mean over the 2n views, ().

    Rows i of `first` and `second`, (n, p) each, are the projections of two views of image i. `temperature` is
    tau.
    """
    n = len(first)
    views = F.normalize(torch.cat([first, second]).float(), dim=1)  # (2n, p)
    logits = views @ views.T / temperature
    logits.fill_diagonal_(-math.inf)
    partner = torch.arange(2 * n, device=views.device).roll(n)
    return F.cross_entropy(logits, partner)


def learning_rate(settings: SimCLR, step: int, steps: int) -> float:
    """The step size at `step`, counted from 0, where an epoch has `steps` steps.

    It rises linearly during the warm-up epochs and then falls to zero along half a cosine.
    """
    peak = settings.learning_rate * settings.batch_size / 128
    warmup, total = settings.warmup_epochs * steps, settings.epochs * steps
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * half_cosine(step - warmup, max(1, total - warmup))


def two_views(
    sets: Sequence[Tensor], rows: Tensor, settings: Augmentation, generator: torch.Generator
) -> Tensor:
    """Two random views of some images, (2k, 3, h, w) in [0, 1]; views i and k + i are of one image.

    `sets` are images uint8 (n, 3, ., .), each set of one size; the first one's size is that of the views.
    `rows` (k,) count through all sets. The images come in the order of the sets, and within a set in the
    order of `rows`.
    """
    first: list[Tensor] = []
    second: list[Tensor] = []
    start, size = 0, (sets[0].shape[2], sets[0].shape[3])
    for images in sets:
        # A mask makes the processor wait for the GPU, so where there is one set there is none.
        own = rows if len(sets) == 1 else rows[(rows >= start) & (rows < start + len(images))] - start
        start += len(images)
        if len(own):
            pixels = images[own].float().div_(255)
            crops = random_crops(torch.cat([pixels, pixels]), size, settings, generator)
            first.append(crops[: len(own)])
            second.append(crops[len(own) :])
    return random_colours(torch.cat(first + second), settings, generator)


def pretrain(
    images: Tensor,
    settings: SimCLR,
    *,
    device: torch.device,
    checkpoint: Checkpoint,
    poisons: Sequence[Tensor] = (),
    start: Encoder | None = None,
    after_epoch: Callable[[int, Encoder], None] | None = None,
) -> tuple[Encoder, list[float]]:
    """The trained, frozen encoder, on `device`, and the mean loss of each epoch.

    `images` uint8 (n, 3, h, w) are kept on the device as a whole. `poisons` are further training images in
    sets uint8 (p, 3, ., .), each set of one size, which may be another than that of `images`: crops are drawn
    in an image's own pixels and resized to the size of `images`. Training begins at the weights of `start`,
    whose architecture has to be that of the settings, or at random ones; the projection head is always new.
    After an epoch the state is saved where that is due, and a run that was cut off goes on from there.
    `after_epoch` is given the number of the epoch, from 1, and the encoder before that; it has to leave the
    encoder as it is, and is called again for an epoch whose state was not saved. Raises ValueError for images
    of another shape or type, where there are fewer than a batch has and for a start of another architecture,
    and FloatingPointError naming the epoch whose loss is not finite.
    """
    steps = _steps((images, *poisons), settings.batch_size)
    network = _network(settings, start).to(device).to(memory_format=torch.channels_last)
    encoder = network[0]
    assert isinstance(encoder, Encoder)
    optimizer = torch.optim.SGD(
        network.parameters(), momentum=settings.momentum, weight_decay=settings.weight_decay
    )
    losses = _restore(checkpoint, network, optimizer)
    forward = torch.compile(network) if settings.compile else network
    dtype = resolve(settings.precision, device)
    sets = [given.to(device) for given in (images, *poisons)]
    count = sum(map(len, sets))
    per_epoch = steps * settings.batch_size
    progress = Progress(settings.epochs * per_epoch, "images", done=len(losses) * per_epoch)
    network.train()
    for epoch in range(len(losses), settings.epochs):
        generator = stream(settings.seed, epoch, device=device)
        order = torch.randperm(count, generator=generator, device=device)
        total = torch.zeros((), device=device)
        for step in range(steps):
            rows = order[step * settings.batch_size : (step + 1) * settings.batch_size]
            views = two_views(sets, rows, settings.augmentation, generator)
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
        if after_epoch:
            after_epoch(epoch + 1, encoder)
        if checkpoint.due():
            _save(checkpoint, network, optimizer, losses)
    return encoder.freeze(), losses


def _steps(sets: Sequence[Tensor], batch_size: int) -> int:
    """Whole batches in all sets together. Raises ValueError for a set that is no images, and where there are
    too few."""
    for number, images in enumerate(sets):
        if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] != 3:
            name = f"poisons {number - 1}" if number else "images"
            raise ValueError(f"{name}: {images.dtype} {tuple(images.shape)}, expected uint8 (n, 3, h, w)")
    count = sum(map(len, sets))
    if count < batch_size:
        raise ValueError(f"{count} images are fewer than one batch of {batch_size}")
    return count // batch_size


def _network(settings: SimCLR, start: Encoder | None = None) -> nn.Sequential:
    """The encoder with the weights of `start` or the seed's, and the projection head with the seed's.

    Raises ValueError for a start of another architecture.
    """
    if start is not None and start.architecture != settings.architecture:
        found, wanted = (one.model_dump_json() for one in (start.architecture, settings.architecture))
        raise ValueError(f"'start' is an encoder of {found}, expected 'architecture' {wanted}")
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)  # module initialisation has no generator argument
        encoder = Encoder(settings.architecture)
        if start is not None:
            encoder.trunk.load_state_dict(start.trunk.state_dict())
        d = encoder.dimension
        projection = nn.Linear(d, d), nn.ReLU(inplace=True), nn.Linear(d, settings.projection)
        return nn.Sequential(encoder, *projection)


def _save(
    checkpoint: Checkpoint, network: nn.Module, optimizer: torch.optim.Optimizer, losses: list[float]
) -> None:
    """The state after an epoch: `network.NAME`, and `momentum.INDEX` of each parameter."""
    momenta = {key.removesuffix(MOMENTUM): value for key, value in optimizer_tensors(optimizer).items()}
    checkpoint.save(pack(network=network.state_dict(), momentum=momenta), losses=losses)


def _restore(checkpoint: Checkpoint, network: nn.Module, optimizer: torch.optim.Optimizer) -> list[float]:
    """Set network and optimiser, in place, to the last finished epoch. Returns the losses up to there.

    Where there is no state, nothing is set and the list is empty.
    """
    state = checkpoint.load()
    if state is None:
        return []
    tensors, facts = state
    groups = unpack(tensors)
    network.load_state_dict(groups["network"])
    momenta = groups.get("momentum", {})  # none where the momentum is 0
    load_optimizer(optimizer, {f"{index}{MOMENTUM}": value for index, value in momenta.items()})
    log.info("resumed after epoch %d", len(facts["losses"]))
    return facts["losses"]
