"""The encoder is frozen: its bits, its statistics and its mode are the same after every attack."""

import copy

import pytest
import torch
from featpoison import softmax
from featpoison.attacks.decoder_inversion import DecoderInversion, invert, train_decoder
from featpoison.attacks.emn import EMN, perturb
from featpoison.attacks.gradpc import target_head
from featpoison.common.pixels import to_pixels
from featpoison.downstream.networks import Training
from featpoison.encoders.architecture import Architecture
from featpoison.encoders.encoder import Encoder
from featpoison.encoders.features import extract
from featpoison.softmax import Head
from helpers import Forgetful
from test_invariants import ATTACKS, Problem

QUICK = EMN(
    steps=2,
    step_size=4.0,
    training_steps=2,
    max_rounds=1,
    stop_error=0.0,
    training=Training(batch_size=16),
    precision="float32",
)


def snapshot(encoder):
    """All that an encoder is: every tensor's bytes, with those that files leave out, and every module's
    mode."""
    tensors = dict(encoder.named_parameters()) | dict(encoder.named_buffers())
    return (
        {name: value.detach().numpy().tobytes() for name, value in tensors.items()},
        {
            name: (value.requires_grad, value.grad is None, value.data_ptr())
            for name, value in tensors.items()
        },
        {name: (type(module), module.training) for name, module in encoder.named_modules()},
        encoder.architecture,
    )


def emn(variant, p):
    perturb(p.pixels, p.labels, p.encoder, QUICK, variant=variant, classes=3, seed=0, checkpoint=Forgetful())


def decoder_inversion(kind, p):
    settings = DecoderInversion(epochs=1, batch_size=16, channels=(8, 8, 8, 8, 8), precision="float32")
    network, _ = train_decoder((255 * p.pixels).byte(), p.encoder, kind, settings, checkpoint=Forgetful())
    if kind != "end-to-end":
        invert(1.5 * p.X[:7], p.pixels[:7], network)


def gradpc_input(p):
    target_head(p.target, softmax.head_gradient(extract(p.pixels, p.encoder), p.labels, p.target), 1.0)


EVERY = {name: lambda p, attack=attack: attack(p, 7, 0) for name, attack in ATTACKS.items()}
EVERY |= {f"emn-{kind}": lambda p, kind=kind: emn(kind, p) for kind in ("original", "end-to-end", "input")}
EVERY |= {
    f"decoder-{kind}": lambda p, kind=kind: decoder_inversion(kind, p)
    for kind in ("plain", "skip", "end-to-end")
}
EVERY |= {"gradpc-input": gradpc_input}


THROUGH_PIXELS = [
    "feature-matching",
    "gc-input",
    "tgda-input-constrained",
    "exact-input",
    "emn-input",
    "decoder-skip",
]


def make_problem(encoder, images, side):
    """As the invariants' problem; with a side, on an encoder that resizes its images to it."""
    own = Encoder(Architecture.model_validate(encoder.architecture.model_dump() | {"side": side}))
    own.load_state_dict(encoder.state_dict())
    own.freeze()
    X = extract(images[:40], own)
    generator = torch.Generator().manual_seed(0)
    target = Head(weight=torch.randn(3, own.dimension, generator=generator), bias=torch.zeros(3))
    labels = torch.arange(40) % 3
    return Problem(own, to_pixels(images[:40]), X, labels, target, softmax.head_gradient(X, labels, target))


@pytest.mark.parametrize(
    ("name", "side"), [(name, None) for name in EVERY] + [(name, 24) for name in THROUGH_PIXELS]
)
def test_encoder_is_bit_identical_after_the_attack(name, side, encoder, images):
    problem = make_problem(encoder, images, side)
    before = snapshot(problem.encoder)
    EVERY[name](problem)
    assert snapshot(problem.encoder) == before
    assert not any(module.training for module in problem.encoder.modules())


def test_the_snapshot_sees_every_change(encoder, images):
    """A mode, a counter, a statistic's last bit: each one is found."""

    def changed(change):
        own = copy.deepcopy(encoder)
        before = snapshot(own)
        change(own)
        return snapshot(own) != before

    assert not changed(lambda own: own(to_pixels(images)))
    assert changed(lambda own: own.trunk.bn1.train())
    assert changed(lambda own: own.trunk.bn1.num_batches_tracked.add_(1))
    assert changed(lambda own: own.trunk.bn1.running_mean[0].view(torch.int32).bitwise_xor_(1))
    assert changed(lambda own: own.mean.mul_(2))
    assert changed(lambda own: own.train()(to_pixels(images)) is not None and own.eval())
    assert changed(lambda own: own.fold_batchnorm())
