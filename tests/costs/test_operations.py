"""The plan's operations and memory against what torch counts in the steps themselves, at the paper's sizes:
on the `meta` device, which computes shapes alone."""

import weakref

import pytest
import torch
from elsewhere import Autocast
from featpoison import softmax
from featpoison.attacks import emn, names
from featpoison.attacks.operations import Sizes, canceling_step, hessian_product
from featpoison.config import load
from featpoison.costs import plan
from featpoison.costs.counted import Counted
from featpoison.costs.plan import PlannedJob
from featpoison.downstream.networks import SGD, Training, start_network
from featpoison.encoders.architecture import Architecture
from featpoison.encoders.decoder import build
from featpoison.encoders.encoder import Encoder
from featpoison.encoders.features import pull_back
from featpoison.heads import SGD100, train_sgd
from featpoison.pretraining.screening import densities, features_of
from featpoison.pretraining.simclr import _network, nt_xent
from featpoison.solvers.objective import Objective
from featpoison.solvers.training_sets import TrainingSets
from helpers import ROOT
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

META = torch.device("meta")
PAPER = load(ROOT / "workflow/config/paper.yaml")
ARCHITECTURES = {
    "cifar-resnet18": (Architecture(), 32),
    "resnet50": (Architecture(name="resnet50", side=224), 32),
    "vit-base-16": (Architecture(name="vit-base-16", side=224), 32),
}
n, N, D, C = 8, 50_000, 512, 10


def sizes(name: str = "cifar-resnet18", train: int = N) -> Sizes:
    architecture, side = ARCHITECTURES[name]
    forward, features = plan.forward_flops(architecture, side)
    return Sizes(train, 0, side, C, features, forward)


def counted(work, *arguments) -> float:
    with Counted() as found:
        work(*arguments)
    return float(found.operations)


class Held(TorchDispatchMode):
    """Counts the bytes of tensors that are made while it is entered, and at most live at once: in `peak`."""

    def __init__(self) -> None:
        super().__init__()
        self.known: set[int] = set()
        self.live = self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for one in tree_leaves(found):
            if isinstance(one, torch.Tensor):
                self.see(one.untyped_storage())
        return found

    def see(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata not in self.known:
            self.known.add(storage._cdata)
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self.forget, storage._cdata, storage.nbytes())

    def forget(self, place: int, size: int) -> None:
        self.known.discard(place)
        self.live -= size


def peak(work, *arguments) -> int:
    """Bytes that a step holds at most, beside what it is given."""
    with Held() as held:
        work(*arguments)
    return held.peak


@pytest.fixture(autouse=True)
def _autocast_of_the_cpu(monkeypatch):
    monkeypatch.setattr(torch, "autocast", Autocast)


@pytest.fixture(params=ARCHITECTURES)
def frozen(request) -> tuple[str, Encoder]:
    with META:
        return request.param, Encoder(ARCHITECTURES[request.param][0]).freeze()


@pytest.fixture
def own() -> Encoder:
    """The paper's own encoder."""
    with META:
        return Encoder(Architecture()).freeze()


def pixels(side: int = 32, count: int = n) -> torch.Tensor:
    return torch.empty(count, 3, side, side, device=META)


def test_it_counts_what_torch_counts(frozen):
    encoder = frozen[1]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        encoder(pixels())
    with torch.no_grad():
        assert counted(encoder, pixels()) == counter.get_total_flops() > 0


def test_a_step_of_matching(frozen):
    name, encoder = frozen
    attack, settings = names.load("feature-matching"), PAPER.attacks.feature_matching
    planned = attack.work(sizes(name), settings.model_copy(update={"steps": 1}), n).flops
    found = counted(pull_back, pixels(), lambda z: z, encoder, torch.float32)
    # attention takes two and a half times as much back as forth
    assert found == pytest.approx(planned, rel=0.05 if name == "vit-base-16" else 1e-9)


def test_a_pass_over_all_images(frozen):
    name, encoder = frozen
    with torch.no_grad():
        found = counted(encoder, pixels())
    assert found == plan.WORK["extract_features"](sizes(name, n), PAPER, None).flops * PAPER.feature_shards


def test_a_step_of_pre_training():
    """The projection head and the loss come on top, and no gradient is taken back to the images."""
    settings = PAPER.encoders["simclr-resnet18-cifar10"].pretraining.simclr
    batch = settings.batch_size
    with META:
        network = _network(settings).train()

    def step():
        first, second = network(pixels(count=2 * batch)).chunk(2)
        nt_xent(first, second, 0.5).backward()

    one = PAPER.model_copy(
        update={"encoders": {"one": PAPER.encoders["simclr-resnet18-cifar10"].model_copy(deep=True)}}
    )
    job = PlannedJob("pretrain_encoder", {"encoder": "one"})
    planned = plan.WORK["pretrain_encoder"](sizes(train=batch), one, job).flops / settings.epochs
    assert counted(step) == pytest.approx(planned, rel=0.01)


def test_the_steps_of_emn(own):
    """A round: training steps of the network, and noise steps of every image."""
    settings = emn.EMN(steps=1, training_steps=1, max_rounds=1, training=Training(batch_size=n))
    network = start_network(own, "end-to-end", classes=C, seed=0).to(META)
    optimizer = SGD(network, settings.training, "float32")
    labels = torch.zeros(n, dtype=torch.int64, device=META)
    training = counted(optimizer.step, pixels(), labels, 0.1)
    network.eval()
    leaf = pixels().requires_grad_(True)
    noise = counted(lambda: torch.autograd.grad(network(leaf).sum(), leaf))
    assert training + noise == pytest.approx(emn.work(sizes(train=n), settings, 0).flops, rel=0.01)


def test_a_step_of_canceling():
    X, labels = torch.empty(n, D, device=META), torch.zeros(n, dtype=torch.int64, device=META)
    head = softmax.Head(torch.empty(C, D, device=META), torch.empty(C, device=META))
    assert counted(softmax.canceling_step, X, labels, head, head.omega) == canceling_step(n, D, C)


def sets(poisons: int, K: int = 1, dtype: torch.dtype = torch.float32) -> TrainingSets:
    return TrainingSets(
        torch.empty(N, D, device=META, dtype=dtype),
        torch.zeros(N, dtype=torch.int64, device=META),
        torch.empty(K, poisons, D, device=META, dtype=dtype),
        torch.zeros(K, poisons, dtype=torch.int64, device=META),
    )


def test_the_victims():
    """Epochs of SGD for each victim seed and each poison seed; products with a Hessian."""
    victims = PAPER.victims.model_copy(update={"sgd100": SGD100(epochs=1, tail=1)})
    config = PAPER.model_copy(update={"victims": victims})
    seeds, K = tuple(victims.seeds), len(PAPER.poison_seeds)
    place = {"budget": "0.03", "attack": "gc-feature_free_gradpc-feature"}
    planned = plan.WORK["evaluate_attack"](sizes(), config, PlannedJob("evaluate_attack", place))
    given = sets(1500, K)
    found = counted(lambda: train_sgd(given, victims.sgd100, classes=C, seeds=seeds))
    assert found == pytest.approx(planned.flops, rel=2 / D)  # planned with the bias, which is a sum
    exact = Objective(sets(1500, K, torch.float64), 1e-6)
    at = exact.at(torch.empty(K, C, D + 1, device=META, dtype=torch.float64))
    product = counted(exact.hessian(at), at.omega)
    assert product == pytest.approx(K * hessian_product(N + 1500, D, C), rel=2 / D)
    assert planned.double_flops == pytest.approx(plan.NEWTON_PRODUCTS * product, rel=2 / D)


def test_a_screening(own):
    """A pass of each image, and the cosine of each pair."""
    images = torch.empty(3000, 3, 32, 32, dtype=torch.uint8, device=META)
    features = torch.empty(len(images), D, device=META)
    found = counted(features_of, [images[:500]], own) * len(images) / 500 + counted(densities, features, 10)
    job = PlannedJob("screen_pretraining", {"encoder": "simclr-resnet18-cifar10"})
    assert found == pytest.approx(
        plan.WORK["screen_pretraining"](sizes(train=len(images)), PAPER, job).flops, rel=1e-9
    )


def test_a_step_of_a_decoder(own):
    """A pass of the frozen encoder, one of the decoder, and back through that one."""
    settings = PAPER.attacks.decoder_inversion.model_copy(update={"epochs": 1})
    attacks = PAPER.attacks.model_copy(update={"decoder_inversion": settings})
    config = PAPER.model_copy(update={"attacks": attacks})
    network = build(own, "skip", (32, 32), settings.channels).to(META).learn()
    found = counted(lambda: network(pixels()).sum().backward())
    job = PlannedJob("train_decoder", {"encoder": "simclr-resnet18-cifar10"})
    planned = plan.WORK["train_decoder"](sizes(train=n), config, job).flops
    # what the decoder is given, features and maps, gets no gradient
    assert 0.9 * planned < found <= planned


def test_held_bytes_by_hand():
    def three_at_once():
        first = torch.empty(10, device=META)
        second = first + 1
        view = second.view(2, 5)
        third = view * 2
        del first, second, view
        return (third + 1).sum()

    assert peak(three_at_once) == 3 * 40
    leaf = torch.empty(10, device=META, requires_grad=True)
    # exp keeps its result for the gradient; that of the sum is a view of one number
    assert peak(lambda: leaf.exp().exp().sum()) == 2 * 40 + 4


CARD = 80e9
"""Bytes of an H100's memory: batches of images and what gradients need of them have to fit there."""


def test_a_batch_of_matching_fits_on_a_card(frozen):
    batch = PAPER.attacks.feature_matching.batch_size
    held = peak(pull_back, pixels(count=batch), lambda z: z, frozen[1], torch.float32)
    assert batch * 3 * 32 * 32 * 4 < held < CARD / 2  # and beside another job


def test_a_batch_of_pre_training_fits_on_a_card():
    settings = PAPER.encoders["simclr-resnet18-cifar10"].pretraining.simclr
    with META:
        network = _network(settings).train()
    views = pixels(count=2 * settings.batch_size)
    held = peak(lambda: nt_xent(*network(views).chunk(2), 0.5).backward())
    assert 20 * views.nbytes < held < CARD / 2


@pytest.mark.parametrize("n", [1500, N])
def test_victims_hold_what_the_plan_grants(n):
    """Training sets, heads, probabilities: of Newton's method in float64, and of epochs of SGD."""
    victims, K = PAPER.victims, len(PAPER.poison_seeds)

    def newton():
        exact = Objective(sets(n, K, torch.float64), 1e-6)
        at = exact.at(torch.empty(K, C, D + 1, device=META, dtype=torch.float64))
        exact.hessian(at)(at.omega)

    def sgd():
        train_sgd(sets(n, K), SGD100(epochs=1, tail=1), classes=C, seeds=tuple(victims.seeds))

    place = {"dataset": "cifar10", "encoder": "simclr-resnet18-cifar10", "budget": f"{n / N:g}"}
    job = PlannedJob("evaluate_attack", place | {"attack": "gc-feature_free_gradpc-feature"})
    granted = plan.memory_of(job, PAPER, lambda *_: Sizes(N, 10_000, 32, C, D, 0.0))
    assert granted / 3 < max(peak(newton), peak(sgd)) < granted


@pytest.mark.parametrize("n", [1500, N])
def test_canceling_holds_less_than_the_plan_grants(n):
    """Of which the pairs of L-BFGS take most."""
    labels = torch.zeros(n, dtype=torch.int64, device=META)
    head = softmax.Head(torch.empty(C, D, device=META), torch.empty(C, device=META))

    def step():
        softmax.canceling_step(torch.empty(n, D, device=META), labels, head, head.omega)

    attack = names.load("gc-feature")
    granted = attack.memory(Sizes(N, 10_000, 32, C, D, 0.0), PAPER.attacks.gc_feature, n)
    assert n * D * 4 < peak(step) < granted / 3
