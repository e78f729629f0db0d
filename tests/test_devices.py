"""The inner loops of every stage on a device that is not there: what they compute is what they compute on the
CPU, and a processor waits for the device no more often than is said here."""

import copy
import math
from functools import partial

import pytest
import torch
from elsewhere import META, held, running
from featpoison.attacks import emn
from featpoison.attacks.constraints import Box, NormBall
from featpoison.attacks.decoder_inversion import DecoderInversion, train_decoder
from featpoison.attacks.exact_bilevel import Bilevel
from featpoison.attacks.feature_matching import FeatureMatching, match
from featpoison.attacks.gc_feature import CancelingLoss, GCFeature, cancel
from featpoison.attacks.gc_input import Canceling
from featpoison.attacks.input_space import InputSpace, in_feature_space, optimise
from featpoison.attacks.longest_features import LongestFeatures, lengthen
from featpoison.attacks.pairing import nearest_clean
from featpoison.attacks.tgda_input import TGDAInput, TotalGradient
from featpoison.downstream.accuracy import accuracy
from featpoison.downstream.ms_ssim import Similarity
from featpoison.downstream.networks import NetworkVictims, Training, predictions, start_network, train_network
from featpoison.encoders.encoder import Architecture, Encoder
from featpoison.encoders.features import extract, pull_back
from featpoison.heads import SGD100, train_sgd
from featpoison.pretraining.screening import densities
from featpoison.pretraining.simclr import SimCLR, pretrain
from featpoison.softmax import head_gradient
from featpoison.solvers.newton import Converged
from featpoison.solvers.training_sets import TrainingSets
from helpers import Forgetful, random_problem

CPU = torch.device("cpu")
N, D, CLASSES = 12, 5, 3
FREE = NormBall(math.inf)


@pytest.fixture(scope="module")
def small() -> Encoder:
    torch.manual_seed(0)
    return Encoder(Architecture(width=2, stem_stride=2)).freeze()


class World:
    """Things to work on, on one device."""

    def __init__(self, place: torch.device, encoder: Encoder) -> None:
        self.place, self.encoder = place, encoder
        X, labels, head = random_problem(N, D, CLASSES, dtype=torch.float32)
        self.X, self.labels, self.head = X.to(place), labels.to(place), head.to(place)
        generator = torch.Generator(CPU).manual_seed(1)
        self.on_host = torch.rand(N, 3, 32, 32, generator=generator)
        self.pixels = self.on_host.to(place)
        self.images = (255 * self.pixels).to(torch.uint8)

    @property
    def pull_back(self):
        return partial(pull_back, encoder=self.encoder, dtype=torch.float32)


def extraction(world: World, steps: int):
    return extract(world.on_host[: 2 * steps], world.encoder, batch_size=2)


def training_heads(world: World, steps: int):
    sets = TrainingSets(world.X, world.labels, world.X[:4].unsqueeze(0), world.labels[:4].unsqueeze(0))
    return train_sgd(sets, SGD100(epochs=steps, batch_size=8, tail=1), classes=CLASSES, seeds=(0, 1))


def canceling_features(world: World, steps: int):
    goal = CancelingLoss(world.labels, world.head, head_gradient(world.X, world.labels, world.head))
    settings = GCFeature(iterations=steps, threshold=0, optimizer="adam")
    return cancel(world.X, goal, settings, within=NormBall(2.0, nonnegative=True)).features


def _in_input_space(world: World, steps: int, objective, batch_size: int = 4):
    return optimise(
        world.pixels,
        objective,
        InputSpace(epochs=steps, batch_size=batch_size),
        kept_in="constrained",
        pull_back=world.pull_back,
        within=Box(0.0, 1.0),
        threshold=-math.inf,
        checkpoint=Forgetful(),
    ).poisons


def canceling_images(world: World, steps: int):
    d, generator = world.encoder.dimension, torch.Generator(CPU).manual_seed(2)
    X = torch.rand(N, d, generator=generator).to(world.place)
    _, _, head = random_problem(1, d, CLASSES, dtype=torch.float32)
    head = head.to(world.place)
    goal = Canceling(X, world.labels, head, head_gradient(X, world.labels, head), batch_size=4)
    return _in_input_space(world, steps, goal)


def total_gradient(world: World, steps: int):
    settings = TGDAInput(iterations=4, tolerance=1e-12, head_steps=3)
    goal = TotalGradient((world.X, world.labels), (world.X[:4], world.labels[:4]), world.head, settings)
    loop = InputSpace(epochs=steps, batch_size=4)
    return optimise(
        world.X[:4],
        goal,
        loop,
        pull_back=in_feature_space,
        within=FREE,
        threshold=-math.inf,
        checkpoint=Forgetful(),
    ).poisons


def exact_bilevel(world: World, steps: int):
    victim = Converged(ridge=0.1, tolerance=1e-6)
    clean, poisons = (world.X, world.labels), (world.X[:4], world.labels[:4])
    goal = Bilevel(clean, poisons, victim, classes=CLASSES, tolerance=1e-4)
    return optimise(
        world.X[:4],
        goal,
        InputSpace(epochs=steps, batch_size=4),
        pull_back=in_feature_space,
        within=FREE,
        threshold=-math.inf,
        checkpoint=Forgetful(),
    ).poisons


def matching(optimizer: str, world: World, steps: int):
    zeta = world.encoder(world.pixels).detach().roll(1, 0)
    steps += 10  # before PATIENCE steps no image may stop
    settings = FeatureMatching(steps=steps, optimizer=optimizer, tolerance=0, progress=0, precision="float32")
    return match(zeta, world.pixels, world.encoder, settings, beta=0.1)


def longest(world: World, steps: int):
    settings = LongestFeatures(steps=steps, batch_size=4, precision="float32")
    return lengthen(world.pixels, world.encoder, settings, checkpoint=Forgetful()).norms


def noise(world: World, steps: int):
    settings = emn.EMN(steps=steps, precision="float32", training=Training(batch_size=N))
    network = start_network(world.encoder, "input", classes=CLASSES, seed=0).to(world.place)
    start = torch.zeros_like(world.pixels)
    return emn.minimise(network, world.pixels, world.labels, start, settings)


def network_victim(world: World, steps: int):
    victims = NetworkVictims(epochs=1, training=Training(batch_size=N // steps), precision="float32")
    network = start_network(world.encoder, "end-to-end", classes=CLASSES, seed=0).to(world.place)
    train_network(network, world.images, world.labels, victims, seed=0, rate=0.01)
    return [parameter.detach() for parameter in network.parameters()]


def predicting(world: World, steps: int):
    network = start_network(world.encoder, "input", classes=CLASSES, seed=0).to(world.place)
    return predictions(network, world.on_host[: 2 * steps], batch_size=2)


DECODER = DecoderInversion(
    epochs=1,
    channels=(4, 4, 4, 4, 4),
    similarity=Similarity(levels=2, window=5),
    precision="float32",
)


def decoder(world: World, steps: int):
    settings = DECODER.model_copy(update={"batch_size": N // steps})
    trained = train_decoder(world.images, world.encoder, "skip", settings, checkpoint=Forgetful())
    return [one.detach() for one in trained[0].decoder.parameters()], torch.tensor(trained[1])


def pretraining(world: World, steps: int):
    settings = SimCLR(
        architecture=world.encoder.architecture,
        epochs=1,
        warmup_epochs=0,
        batch_size=N // steps,
        precision="float32",
    )
    trained, losses = pretrain(world.images, settings, device=world.place, checkpoint=Forgetful())
    return [one.detach() for one in trained.parameters()], torch.tensor(losses)


def pairing(world: World, steps: int):
    pairs = nearest_clean(world.X[: 2 * steps] + 0.1, world.X, rows=2, block=4)
    return pairs.index, pairs.distance


def screening(world: World, steps: int):
    return densities(world.X.repeat(steps, 1), neighbours=3)


def accuracies(world: World, steps: int):
    omega = torch.stack([world.head.omega + shift for shift in range(steps)])
    return accuracy(world.X, world.labels, omega)


LOOPS = {
    "extraction": (extraction, 1),  # the features of a batch, which the product holds
    "training heads": (training_heads, 0),
    "canceling features": (canceling_features, 1),  # L: whether to stop, and which step is the best
    "canceling images": (canceling_images, 3),  # of a pass, however many batches: gradients, L, the penalty
    "total gradient": (total_gradient, 8),  # gradients, L, the penalty, the residual, one an iteration
    "exact bilevel": (exact_bilevel, 40),  # each iteration, each trial of a line search: whether to go on
    "matching": (partial(matching, "gradient-descent"), 2),  # finite? finished?
    "accelerated matching": (partial(matching, "accelerated"), 2),
    "longest features": (longest, 3),
    "noise": (noise, 0),
    "network victim": (network_victim, 0),
    "predicting": (predicting, 1),  # the classes of a batch
    "decoder": (decoder, 0),
    "pre-training": (pretraining, 0),
    "pairing": (pairing, 0),
    "screening": (screening, 0),
    "testing heads": (accuracies, 0),
}
"""A loop, and how often the processor waits in each of its steps, at most."""


def on_device(loop, monkeypatch, encoder: Encoder, steps: int):
    """What a loop computes there, and what the processor waited for."""
    moved = copy.deepcopy(encoder)
    with running(monkeypatch) as device:
        found = loop(World(META, moved.to(META)), steps)
        return found, device.waits


def tensors(found) -> list[torch.Tensor]:
    return [one for one in torch.utils._pytree.tree_leaves(found) if isinstance(one, torch.Tensor)]


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_computes_on_a_device_what_it_computes_on_the_cpu(name, small, monkeypatch):
    loop, allowed = LOOPS[name]
    here = tensors(loop(World(CPU, copy.deepcopy(small)), 2))
    found, waits = on_device(loop, monkeypatch, small, 2)
    assert here
    assert len(here) == len(tensors(found))
    for one, other in zip(here, tensors(found), strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        torch.testing.assert_close(held(other), one, rtol=1e-4, atol=1e-6)
    more = on_device(loop, monkeypatch, small, 4)[1]  # loops of twice as many steps
    assert (more.total() - waits.total()) / 2 <= allowed, f"{dict(waits)} -> {dict(more)}"
