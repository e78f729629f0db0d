"""Feature matching (paper, section 4.2.2, eq. 15 and Algorithm 1 with k = 1): images whose features approach
the poisoned ones, stage 3.

Each image nu minimises F(nu) = gamma/2 ||f(nu) - z||^2 + beta/2 ||mu' - nu||^2 by a forward gradient step on
the first term and a backward proximal step on the second. Images do not interact; they are worked on in
blocks of fixed rows, so results do not depend on how blocks are spread over jobs. One forward and one
backward pass of the frozen encoder per step, none of it for weights.

Forward and backward step together are nu <- nu - a grad F(nu) with a = eta / (1 + eta beta): plain gradient
descent on F. The same step can be accelerated (`matching_steps.py`). Measured with 50 poisons on the demo's
encoders at beta 0.1: 100 accelerated steps end within 0.4 % of the mean F of the paper's 2000 steps, 200 end
below it.

Early stop of the plain steps. What remains moves an image by at most the sum over the remaining steps of
a_s ||grad F(nu_s)||. Where F is convex with an L-Lipschitz gradient along the rest of the path and a_s <= 2 /
L, ||grad F|| does not grow (Nesterov, Lectures on Convex Optimization, 2018, section 2.1.5), so that sum is
at most ||grad F|| now times the sum of the remaining a_s. An image stops where this product is at most
`tolerance`, taking the largest ||grad F|| of the last `PATIENCE` steps. F through a deep encoder is convex
only locally: the bound is proven under that condition and measured on the demo's encoder by a test.

Arithmetic. `tolerance` says how little an image would move on from where it stops, not how near it is to the
image that another arithmetic finds: with bfloat16 the path leads past other kinks of the encoder's ReLUs to
another minimum. Measured with 150 poisons on the demo's encoder of CIFAR-10 (zeta of four times the mean
clean norm, beta 0.25 and 0.05, 200 steps), images differ from float32's by 45 and 42 % of the perturbation,
while the mean of F is 0.07 and 0.08 % larger (4.5 % for the worst image), the mean feature distance 0.1 %,
and the converged victim loses 1.15 and 1.5 points instead of 1.1 and 1.6.
"""

import logging
from functools import partial
from typing import Any, Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from featpoison import store
from featpoison.attacks.attack import Attack, Made, Run
from featpoison.attacks.matching_steps import PATIENCE, Accelerated, Descent
from featpoison.attacks.operations import Sizes, Work, to_pixels_and_back
from featpoison.common.precision import Precision, name_of, resolve
from featpoison.common.progress import Progress
from featpoison.common.settings import Settings
from featpoison.datasets.stored import training_pixels
from featpoison.encoders.encoder import Encoder, load_encoder
from featpoison.encoders.features import extract, pull_back
from featpoison.records.checkpoints import Checkpoint

log = logging.getLogger(__name__)
MARGIN = {torch.float64: 1.0, torch.float32: 1.0, torch.bfloat16: 2.0}
"""The early stop's ||grad F|| is this many times the computed one. In bfloat16 the gradient is a tenth off at
first and about as wrong as it is long near a minimum, where images have settled on kinks of bfloat16's own F;
but its length stays within this factor of float32's, and only the length is used."""


class FeatureMatching(Settings):
    """Settings of feature matching. The table's row says beta, the weight of staying close to the base
    image."""

    gamma: PositiveFloat = 1.0
    """Weight of the feature distance (paper: 1)."""
    steps: PositiveInt = 2000
    """Gradient steps t (paper: 2000)."""
    optimizer: Literal["gradient-descent", "accelerated"] = "gradient-descent"
    """`gradient-descent`: Algorithm 1 as it stands, whose last image counts. `accelerated`: Nesterov's
    momentum with restarts, for each image; its best image counts."""
    step_size: PositiveFloat = 0.1
    """First step size; half a cosine takes it to zero (paper: 0.1, cosine). Accelerated steps
    begin with it and are shortened for each image where they prove too long."""
    tolerance: NonNegativeFloat = 0.01
    """Under gradient descent an image stops when all remaining steps would move it by at most this much (L2,
    pixel range), whether they went on in bfloat16 or in float32; 0: never. It does not bound the difference
    of what the two find."""
    progress: NonNegativeFloat = 0.0005
    """Under accelerated steps an image stops when its lowest F fell by at most this share of itself over the
    last ten steps; 0: only where it did not fall."""
    batch_size: PositiveInt = 64
    """Images of a block, worked on together."""
    precision: Precision = "auto"
    """Arithmetic of the encoder; poisons are float32 always. With bfloat16 other images are found, which
    reach the same F: see the head of this module for what was measured."""


def match(
    zeta: Tensor, base: Tensor, encoder: Encoder, settings: FeatureMatching, *, beta: float
) -> tuple[Tensor, Tensor]:
    """Algorithm 1, k = 1, for one block: images nu (n, 3, h, w) float32 and the steps that each took (n,).

    `zeta` (n, d) poisoned features, `base` (n, 3, h, w) the images mu' in [0, 1], `encoder` frozen (folded
    for speed), `beta` in units of the pixel range. Raises FloatingPointError naming the step and the row
    within the block at NaN or infinity.
    """
    dtype = resolve(settings.precision, base.device)
    steps: Descent | Accelerated
    if settings.optimizer == "accelerated":
        steps = Accelerated(base, settings.step_size, beta, settings.progress)
    else:
        bound = settings.tolerance / MARGIN[dtype]
        steps = Descent(base, settings.step_size, beta, settings.steps, bound)
    result, taken = base.clone(), torch.full((len(base),), settings.steps, device=base.device)
    rows = torch.arange(len(base), device=base.device)
    mu, z = base, zeta
    progress = Progress(settings.steps, "steps of this block")
    for step in range(settings.steps):
        nu = steps.point
        # gradient of 1/2 ||f(nu) - z||^2, row by row
        features, towards = pull_back(nu, partial(torch.sub, other=z), encoder, dtype)
        away = nu - mu
        gradient = settings.gamma * towards + beta * away
        F = settings.gamma / 2 * (features - z).square().sum(1) + beta / 2 * away.square().sum((1, 2, 3))
        finite = gradient.flatten(1).isfinite().all(1)
        if not finite.all():
            row = rows[~finite][0].item()
            raise FloatingPointError(f"feature matching: step {step}, row {row} is not finite")
        steps.update(gradient, F)
        progress.advance(1, note=f"{len(rows)} images still move")
        done = steps.finished()
        if step + 1 < PATIENCE or not done.any():
            continue
        result[rows[done]], taken[rows[done]] = steps.found[done], step + 1
        keep = ~done
        rows, mu, z = rows[keep], mu[keep], z[keep]
        steps.keep(keep)
        if not len(rows):
            break
    result[rows] = steps.found
    return result, taken


def match_blocks(
    zeta: Tensor,
    base: Tensor,
    encoder: Encoder,
    settings: FeatureMatching,
    *,
    beta: float,
    blocks: list[slice],
    checkpoint: Checkpoint,
) -> tuple[Tensor, Tensor]:
    """`match` block by block: images (n, 3, h, w) and steps taken (n,) on the CPU. Resumes from the last
    finished block that was saved; a kill costs a block, or more where the disk is slow.

    `blocks` are slices of the rows of `zeta` and `base`, in order and without gaps. The encoder says on which
    device.
    """
    device = encoder.mean.device
    state = checkpoint.load()
    images, taken = base.clone(), torch.zeros(len(base), dtype=torch.int64)
    done = 0
    if state is not None:
        images, taken, done = state[0]["images"], state[0]["taken"], state[1]["done"]
        log.info("resumed after %d of %d images", done, len(base))
    progress = Progress(len(base), "images", done=done)
    for block in blocks:
        if block.stop <= done:
            continue
        nu, steps = match(zeta[block].to(device), base[block].to(device), encoder, settings, beta=beta)
        images[block], taken[block] = nu.cpu(), steps.cpu()
        if checkpoint.due():  # a state holds all images, not those of a block
            checkpoint.save({"images": images, "taken": taken}, done=block.stop)
        progress.advance(
            len(nu), note=f"{taken[block].double().mean():.0f} of {settings.steps} steps on average"
        )
    return images, taken


def run(given: Run) -> Made:
    """Images, encoder, pairs -> poison images with their features: all of them, or the rows of one shard.

    The fact `precision` is the arithmetic in which the gradients were really computed.
    """
    settings: FeatureMatching = given.settings
    pairs = store.read(given.files["pairs"])
    spread = len(pairs["base"]), settings.batch_size
    rows = given.shard.rows(*spread)
    own = {name: array[rows] for name, array in pairs.items()}
    zeta, encoder_file, beta = torch.from_numpy(own["features"]), given.files["encoder"], given.choice.beta
    assert beta is not None  # every row of this attack has one
    images, taken = match_blocks(
        zeta,
        training_pixels(given.files["images"], own["base"]),
        load_encoder(encoder_file).fold_batchnorm().to(given.device),
        settings,
        beta=beta,
        blocks=[slice(one.start - rows.start, one.stop - rows.start) for one in given.shard.blocks(*spread)],
        checkpoint=given.checkpoint,
    )
    # Extracted in the matching's own blocks, so that the number of shards changes no bit.
    features = extract(images, load_encoder(encoder_file).to(given.device), batch_size=settings.batch_size)
    distance = (features.double() - zeta.double()).square().sum(1)
    arrays = {
        "images": images.numpy(),
        "features": features.numpy(),
        "labels": own["labels"],
        "base": own["base"],
        "steps": taken.numpy(),
        "first_distance": own["distance"],
        "distance": distance.numpy(),
    }
    return Made(arrays, {"precision": name_of(resolve(settings.precision, given.device))})


def work(sizes: Sizes, settings: Any, n: float) -> Work:
    """All steps of all images."""
    return Work(n * settings.steps * to_pixels_and_back(sizes.forward), bytes=n * sizes.image_bytes)


def memory(sizes: Sizes, settings: Any, n: float) -> float:
    """Images with their bases and gradients, and their features."""
    return sizes.held(n, poisons=6, poisoned=4)


ATTACK = Attack(
    name="feature-matching",
    title="Feature matching",
    makes="images",
    settings=FeatureMatching,
    needs=("images", "encoder", "pairs"),
    run=run,
    work=work,
    memory=memory,
    tint="targeted",
    sets=("free", "cap", "emittable"),
    has_beta=True,
    poisoned_by="gc-feature",
    pairing="all",
    shardable=True,
)
