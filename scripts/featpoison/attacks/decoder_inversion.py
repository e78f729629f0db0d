"""Decoder inversion (paper, section 4.2.1): images nu = decoder(zeta, skips of mu') from poisoned features
zeta, stage 3 without optimisation.

The decoder learns to reconstruct the clean training images from their features; then it is given the poisoned
features instead, and, with skip connections, the encoder's maps of the images mu' that zeta was initialised
with. Nothing makes f(nu) = zeta where zeta is unlike any feature seen in training, or where the skip
connections say enough for the decoder to ignore zeta: the distance is measured, never assumed.
"""

import logging
import math
from typing import Annotated, Any

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from featpoison import store
from featpoison.attacks.attack import Attack, Made, Run
from featpoison.attacks.operations import Sizes, Work
from featpoison.common.finite import first_not_finite
from featpoison.common.pixels import to_pixels
from featpoison.common.precision import Precision, resolve
from featpoison.common.progress import Progress
from featpoison.common.schedules import half_cosine
from featpoison.common.seeds import stream
from featpoison.common.settings import Settings
from featpoison.datasets.stored import training_pixels
from featpoison.downstream.ms_ssim import Similarity, ms_ssim
from featpoison.encoders.decoder import Autoencoder, Kind, build, load_decoder
from featpoison.encoders.encoder import Encoder, load_encoder
from featpoison.encoders.features import extract
from featpoison.records.checkpoints import Checkpoint, load_optimizer, optimizer_tensors, pack, unpack

log = logging.getLogger(__name__)


class DecoderInversion(Settings):
    """Settings of the decoders, the same for each kind. The paper names the loss and the reference
    implementation; the rest is ours."""

    epochs: PositiveInt = 100
    """Passes over the training images."""
    batch_size: PositiveInt = 128
    """Most images of a step; the batches of an epoch are of equal size up to one image."""
    learning_rate: PositiveFloat = 1e-3
    """First step size of Adam; half a cosine takes it to zero."""
    ms_ssim_weight: Annotated[float, Field(ge=0, le=1)] = 0.84
    """alpha in the loss alpha (1 - MS-SSIM) + (1 - alpha) L1, L1 the mean over pixels in [0, 1]
    (Zhao et al., 2017, https://arxiv.org/abs/1511.08861: 0.84, with L1 under a Gaussian window)."""
    similarity: Similarity = Similarity()
    """Scales and window of MS-SSIM."""
    channels: tuple[PositiveInt, ...] = (512, 256, 128, 64, 64)
    """Channels of the decoder: one number for each of the encoder's maps, deepest first."""
    precision: Precision = "auto"
    """Arithmetic of encoder and decoder in training; the loss and the inversion are float32 always."""
    seed: int = 0
    """Seed of weights and order."""


def reconstruction_errors(
    reconstructed: Tensor, pixels: Tensor, settings: DecoderInversion
) -> tuple[Tensor, Tensor]:
    """Mean absolute difference and MS-SSIM of each image, (n,) both; images (n, 3, h, w) in [0, 1]."""
    return (reconstructed - pixels).abs().mean((1, 2, 3)), ms_ssim(reconstructed, pixels, settings.similarity)


def loss(reconstructed: Tensor, pixels: Tensor, settings: DecoderInversion) -> Tensor:
    """alpha (1 - MS-SSIM) + (1 - alpha) L1, mean over images."""
    distance, similarity = reconstruction_errors(reconstructed, pixels, settings)
    return (settings.ms_ssim_weight * (1 - similarity) + (1 - settings.ms_ssim_weight) * distance).mean()


def train_decoder(
    images: Tensor, encoder: Encoder, kind: Kind, settings: DecoderInversion, *, checkpoint: Checkpoint
) -> tuple[Autoencoder, list[float]]:
    """The trained, frozen autoencoder and the mean loss of each epoch.

    `images` uint8 (n, 3, h, w), kept whole on the encoder's device; `encoder` frozen and left untouched
    (`end-to-end` trains a copy). State is saved after each epoch and resumed from. Raises FloatingPointError
    naming epoch and batch when the loss is not finite.
    """
    device = encoder.mean.device
    network = build(
        encoder, kind, (images.shape[2], images.shape[3]), settings.channels, settings.seed
    ).learn()
    optimizer = torch.optim.Adam([parameter for parameter in network.parameters() if parameter.requires_grad])
    losses = _restore(checkpoint, network, optimizer)
    dtype = resolve(settings.precision, device)
    images, steps = images.to(device), math.ceil(len(images) / settings.batch_size)
    progress = Progress(settings.epochs * len(images), "images", done=len(losses) * len(images))
    for epoch in range(len(losses), settings.epochs):
        order = torch.randperm(
            len(images), generator=stream(settings.seed, epoch, device=device), device=device
        )
        total, values = torch.zeros((), dtype=torch.float64, device=device), []
        for step, rows in enumerate(order.tensor_split(steps)):
            pixels = to_pixels(images[rows]).contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                reconstructed = network(pixels)
            value = loss(reconstructed, pixels, settings)
            rate = settings.learning_rate * half_cosine(epoch + step / steps, settings.epochs)
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            values.append(value.detach())
            total += values[-1].double() * len(rows)
            progress.advance(len(rows), note=f"epoch {epoch + 1} of {settings.epochs}")
        if found := first_not_finite(values):
            place = f"epoch {epoch + 1}, batch {found[0] + 1} of {steps}"
            raise FloatingPointError(f"decoder {kind}: {place}: the loss is {found[1]}")
        losses.append(total.item() / len(images))
        log.info("epoch %d of %d: loss %.4f", epoch + 1, settings.epochs, losses[-1])
        _save(checkpoint, network, optimizer, losses)
    return network.freeze(), losses


def _save(
    checkpoint: Checkpoint, network: Autoencoder, optimizer: torch.optim.Optimizer, losses: list[float]
) -> None:
    checkpoint.save(pack(network=network.learned(), adam=optimizer_tensors(optimizer)), losses=losses)


def _restore(checkpoint: Checkpoint, network: Autoencoder, optimizer: torch.optim.Optimizer) -> list[float]:
    state = checkpoint.load()
    if state is None:
        return []
    tensors, facts = state
    groups = unpack(tensors)
    network.load_state_dict(network.state_dict() | groups["network"])
    load_optimizer(optimizer, groups["adam"])
    log.info("resumed after epoch %d", len(facts["losses"]))
    return facts["losses"]


@torch.no_grad()
def reconstruct(images: Tensor, network: Autoencoder, *, batch_size: int = 250) -> Tensor:
    """The images' reconstructions, float32 (n, 3, h, w) in [0, 1] on the CPU; `images` (n, 3, h, w), uint8 or
    float in [0, 1]."""
    device = network.encoder.mean.device
    parts = [torch.empty(0, *images.shape[1:])]
    for batch in images.split(batch_size):
        parts.append(network(to_pixels(batch).to(device).contiguous(memory_format=torch.channels_last)).cpu())
    return torch.cat(parts)


@torch.no_grad()
def invert(zeta: Tensor, base: Tensor, network: Autoencoder, *, batch_size: int = 250) -> Tensor:
    """Images nu = decoder(zeta, skips of mu'), float32 (n, 3, h, w) in [0, 1] on the CPU.

    `zeta` (n, d) poisoned features, `base` (n, 3, h, w) in [0, 1] the images mu' that zeta was initialised
    with, which only a decoder with skip connections looks at. Raises ValueError for `end-to-end`, whose
    features are not those that zeta is made of.
    """
    if network.kind == "end-to-end":
        raise ValueError(
            "decoder end-to-end: inverts the features of its own encoder; expected a decoder on the frozen "
            "encoder, skip or plain"
        )
    device = network.encoder.mean.device
    parts = [torch.empty(0, *base.shape[1:])]
    for z, mu in zip(zeta.split(batch_size), base.split(batch_size), strict=True):
        maps = network.encoder.maps(mu.to(device).contiguous(memory_format=torch.channels_last))
        parts.append(network.decoder(z.to(device), maps).cpu())
    return torch.cat(parts)


def run(given: Run) -> Made:
    """Images, encoder, decoder, poisoned features -> poison images with their features."""
    files = given.files
    poisoned = store.read(files["poisoned"])
    zeta, base = torch.from_numpy(poisoned["features"]), training_pixels(files["images"], poisoned["base"])
    encoder = load_encoder(files["encoder"]).to(given.device)
    images = invert(zeta, base, load_decoder(files["decoder"], encoder))
    features = extract(images, encoder)
    arrays = {
        "images": images.numpy(),
        "features": features.numpy(),
        "labels": poisoned["labels"],
        "base": poisoned["base"],
        "first_distance": _distance(extract(base, encoder), zeta).numpy(),
        "distance": _distance(features, zeta).numpy(),
    }
    return Made(arrays)


def _distance(features: Tensor, zeta: Tensor) -> Tensor:
    """||f - zeta||^2 of each row, float64 (n,)."""
    return (features.double() - zeta.double()).square().sum(1)


def work(sizes: Sizes, settings: Any, n: float) -> Work:
    """Passes of the encoder over bases and poisons, and one of the decoder."""
    return Work(3 * n * sizes.forward, bytes=n * sizes.image_bytes)


def memory(sizes: Sizes, settings: Any, n: float) -> float:
    """Images, their bases, their features."""
    return sizes.held(n, poisons=4, poisoned=2)


ATTACK = Attack(
    name="decoder-inversion",
    title="Decoder inversion",
    makes="images",
    settings=DecoderInversion,
    needs=("images", "encoder", "decoder", "poisoned"),
    run=run,
    work=work,
    memory=memory,
    tint="targeted",
    sets=("free", "cap", "emittable"),
    poisoned_by="gc-feature",
)
