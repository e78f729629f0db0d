"""Feature matching against Algorithm 1 of the paper, and its early stop against its promise."""

import copy
import math

import pytest
import torch
from featpoison.attacks import feature_matching as fm
from featpoison.attacks.feature_matching import FeatureMatching, match
from featpoison.attacks.matching_steps import Descent
from featpoison.common.pixels import to_pixels
from featpoison.common.shards import Shard
from featpoison.config import load
from featpoison.datasets import sources
from featpoison.encoders.encoder import load_encoder
from featpoison.encoders.features import extract, pull_back
from featpoison.records.checkpoints import Checkpoint
from helpers import ROOT, Fragile, Killed
from hypothesis import given
from hypothesis import strategies as st
from oracles import slow

FULL = FeatureMatching(steps=40, tolerance=0.0, precision="float32")
BETA = 0.25


@pytest.fixture
def matching(encoder, images):
    base = to_pixels(images[:10])
    zeta = extract(images[10:20], encoder) * 1.5
    return zeta, base, copy.deepcopy(encoder).fold_batchnorm()


def test_matching_equals_algorithm_1(matching, encoder):
    zeta, base, folded = matching
    ours, taken = match(zeta, base, folded, FULL, beta=BETA)
    torch.testing.assert_close(
        ours, slow.feature_matching(zeta, base, encoder, FULL, BETA), rtol=0, atol=2e-3
    )
    assert (taken == 40).all()


def test_matching_in_float64_equals_algorithm_1_to_rounding(matching, encoder):
    zeta, base, folded = matching
    ours, _ = match(zeta.double()[:3], base.double()[:3], folded.double(), FULL, beta=BETA)
    oracle = slow.feature_matching(
        zeta.double()[:3], base.double()[:3], copy.deepcopy(encoder).double(), FULL, BETA
    )
    torch.testing.assert_close(ours, oracle, rtol=0, atol=1e-7)


def test_matching_lowers_its_objective(matching, encoder):
    zeta, base, folded = matching
    nu, _ = match(zeta, base, folded, FULL, beta=BETA)

    def objective(x):
        return (
            FULL.gamma * (encoder(x) - zeta).square().sum(1) + BETA * (x - base).square().flatten(1).sum(1)
        ) / 2

    assert (objective(nu) < objective(base)).all()


@pytest.mark.parametrize("tolerance", [0.3, 0.03])
def test_early_stop_keeps_its_promise(matching, tolerance):
    zeta, base, folded = matching
    settings = FeatureMatching(steps=300, tolerance=tolerance, precision="float32")
    full, _ = match(zeta, base, folded, settings.model_copy(update={"tolerance": 0.0}), beta=BETA)
    early, taken = match(zeta, base, folded, settings, beta=BETA)
    assert (taken < 300).any()
    # Rounding: batches shrink as images stop.
    assert (full - early).flatten(1).norm(dim=1).max() <= tolerance + 2e-3


@pytest.fixture(scope="module")
def demos_matching():
    """Algorithm 1 at the demo's scale, and poisoned features, base images and folded encoder from its
    data."""
    demo = load(ROOT / "workflow/config/demo.yaml")
    dataset = sources.load(next(iter(demo.datasets.values())), ROOT)[0]
    encoder = load_encoder(ROOT / next(iter(demo.encoders.values())).weights.path)
    base, others = dataset.train_images[:20], dataset.train_images[1000:1020]
    zeta = 2 * extract(others, encoder)
    settings = FeatureMatching(steps=100, batch_size=demo.attacks.feature_matching.batch_size)
    return settings, (zeta, to_pixels(base), encoder.fold_batchnorm())


def moved_on(nu, taken, problem, settings, dtype):
    """How far the steps after the `taken` ones move each image in `dtype`, (n,), and ||grad F|| (n,) at
    `nu`, both by plain gradient descent on F."""
    zeta, base, encoder = problem
    x, sizes = nu, []
    rates = Descent(base, settings.step_size, BETA, settings.steps, 0.0).rates
    for step, rate in enumerate(rates):
        _, towards = pull_back(x, lambda z: z - zeta, encoder, dtype)
        gradient = settings.gamma * towards + BETA * (x - base)
        sizes.append(gradient.flatten(1).norm(dim=1))
        x = torch.where((taken <= step).view(-1, 1, 1, 1), x - rate * gradient, x)
    return (x - nu).flatten(1).norm(dim=1), sizes[0]


def test_early_stop_keeps_its_promise_on_the_demos_encoder(demos_matching):
    """The condition of the bound cannot be proven for a deep encoder: measured on real images."""
    demo, problem = demos_matching
    settings = demo.model_copy(update={"precision": "float32"})
    full, _ = match(*problem, settings.model_copy(update={"tolerance": 0.0}), beta=BETA)
    early, taken = match(*problem, settings, beta=BETA)
    assert (taken < settings.steps).all()
    assert (full - early).flatten(1).norm(dim=1).max() <= settings.tolerance + 2e-3


@pytest.mark.parametrize("steps", [30, pytest.param(100, marks=pytest.mark.slow)])
def test_early_stop_in_bfloat16_keeps_its_promise_in_both_arithmetics(demos_matching, steps):
    demo, problem = demos_matching
    settings = demo.model_copy(update={"precision": "bfloat16", "steps": steps})
    early, taken = match(*problem, settings, beta=BETA)
    assert (taken < settings.steps).all()
    sizes = {}
    for dtype in (torch.bfloat16, torch.float32):
        moved, sizes[dtype] = moved_on(early, taken, problem, settings, dtype)
        assert moved.max() <= settings.tolerance
    ratio = sizes[torch.float32] / sizes[torch.bfloat16]
    assert 1 < ratio.max() <= fm.MARGIN[torch.bfloat16]  # a margin is needed, and this one is enough


def test_bfloat16_reaches_the_same_objective_by_other_images(demos_matching):
    demo, problem = demos_matching
    zeta, base, encoder = problem
    found, F = {}, {}
    for precision in ("float32", "bfloat16"):
        settings = demo.model_copy(update={"precision": precision, "steps": 100})
        nu, _ = match(*problem, settings, beta=BETA)
        distance = (encoder(nu) - zeta).double().square().sum(1)
        stay = (nu - base).double().square().flatten(1).sum(1)
        found[precision], F[precision] = nu, (settings.gamma * distance + BETA * stay) / 2
    change = (found["bfloat16"] - found["float32"]).norm() / (found["float32"] - base).norm()
    assert 0.1 < change < 0.6
    assert F["bfloat16"].mean().item() == pytest.approx(F["float32"].mean().item(), rel=0.01)


def objective(nu, problem, settings):
    """F of each image (n,), in float32."""
    zeta, base, encoder = problem
    distance, stay = (encoder(nu) - zeta).square().sum(1), (nu - base).square().flatten(1).sum(1)
    return (settings.gamma * distance + BETA * stay) / 2


@pytest.mark.parametrize("step_size", [0.1, 2.0])
def test_accelerated_steps_are_fista_with_restarts(matching, step_size):
    """In float64, image by image, against the published recurrences; also where steps prove too long."""
    zeta, base, folded = matching
    folded = folded.double()
    settings = FULL.model_copy(update={"optimizer": "accelerated", "progress": 0.0, "step_size": step_size})
    ours, _ = match(zeta.double()[:3], base.double()[:3], folded, settings, beta=BETA)
    for z, mu, found in zip(zeta.double()[:3], base.double()[:3], ours, strict=True):
        expected = slow.accelerated_matching(z, mu, folded, settings, BETA)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


def test_accelerated_steps_reach_lower_in_fewer(demos_matching):
    settings, problem = demos_matching
    plain, _ = match(*problem, settings, beta=BETA)
    fast = settings.model_copy(update={"optimizer": "accelerated", "steps": 40})
    ours, _ = match(*problem, fast, beta=BETA)
    assert objective(ours, problem, settings).mean() < objective(plain, problem, settings).mean()


@pytest.mark.parametrize("factor", [10])
def test_steps_that_are_too_long_end_near_those_that_are_not(demos_matching, factor):
    settings, problem = demos_matching
    F = {}
    for step_size in (0.1, 0.1 * factor):
        update = {"optimizer": "accelerated", "steps": 100, "step_size": step_size, "precision": "float32"}
        nu, _ = match(*problem, settings.model_copy(update=update), beta=BETA)
        F[step_size] = objective(nu, problem, settings).mean().item()
    assert F[0.1 * factor] == pytest.approx(F[0.1], rel=0.05)


def test_no_image_stops_while_its_step_is_too_long(demos_matching):
    """A thousand times too long: ten halvings take more steps than an image is watched for."""
    settings, problem = demos_matching
    update = {"optimizer": "accelerated", "steps": 100, "step_size": 100.0, "precision": "float32"}
    ours, taken = match(*problem, settings.model_copy(update=update), beta=BETA)
    base = problem[1]
    assert (ours != base).flatten(1).any(1).all()
    assert (objective(ours, problem, settings) < objective(base, problem, settings)).all()
    assert taken.min() > 2 * fm.PATIENCE


def test_images_stop_where_accelerated_steps_no_longer_help(demos_matching):
    settings, problem = demos_matching
    update = {"optimizer": "accelerated", "steps": 300, "progress": 0.01, "precision": "float32"}
    ours, taken = match(*problem, settings.model_copy(update=update), beta=BETA)
    assert taken.min() >= fm.PATIENCE
    assert (taken < 300).all()
    longer, _ = match(*problem, settings.model_copy(update=update | {"progress": 0.0}), beta=BETA)
    early, late = (objective(nu, problem, settings) for nu in (ours, longer))
    assert late.mean() < early.mean() < 1.1 * late.mean()


def test_a_killed_matching_resumes_bit_for_bit(matching, tmp_path, monkeypatch):
    zeta, base, folded = matching
    blocks = [slice(0, 4), slice(4, 8), slice(8, 10)]
    whole, steps = fm.match_blocks(
        zeta, base, folded, FULL, beta=BETA, blocks=blocks, checkpoint=Checkpoint(tmp_path / "whole", {})
    )
    for block in blocks:  # each by itself, in blocks of these rows
        alone, taken = match(zeta[block], base[block], folded, FULL, beta=BETA)
        assert torch.equal(whole[block], alone)
        assert torch.equal(steps[block], taken)
    fragile = Fragile(tmp_path / "cut", {}, lambda facts: facts["done"] == 8)
    with pytest.raises(Killed):
        fm.match_blocks(zeta, base, folded, FULL, beta=BETA, blocks=blocks, checkpoint=fragile)
    worked = []
    monkeypatch.setattr(
        fm, "match", lambda *args, **named: worked.append(len(args[0])) or match(*args, **named)
    )
    resumed, again = fm.match_blocks(
        zeta, base, folded, FULL, beta=BETA, blocks=blocks, checkpoint=Checkpoint(tmp_path / "cut", {})
    )
    assert worked == [2]  # the last block only
    assert torch.equal(resumed, whole)
    assert torch.equal(again, steps)


def test_larger_beta_stays_closer(matching):
    zeta, base, folded = matching
    moved = [(match(zeta, base, folded, FULL, beta=beta)[0] - base).norm() for beta in (0.01, 1.0, 100.0)]
    assert moved[0] > moved[1] > moved[2]


def test_bfloat16_stays_near_float32(matching):
    zeta, base, folded = matching
    exact, _ = match(zeta, base, folded, FULL, beta=BETA)
    rough, _ = match(zeta, base, folded, FULL.model_copy(update={"precision": "bfloat16"}), beta=BETA)
    again, _ = match(zeta, base, folded, FULL.model_copy(update={"precision": "bfloat16"}), beta=BETA)
    assert rough.dtype == torch.float32
    assert torch.equal(rough, again)
    assert (rough - exact).norm() < 0.2 * (exact - base).norm()


@given(st.integers(0, 40), st.integers(1, 9), st.integers(1, 9))
def test_shards_partition_the_blocks(count, batch, shards):
    whole = list(Shard().blocks(count, batch))
    parts = [block for shard in range(shards) for block in Shard(shard, shards).blocks(count, batch)]
    assert parts == whole
    assert [row for block in whole for row in range(block.start, block.stop)] == list(range(count))


def test_not_a_number_stops_with_step_and_row(matching):
    zeta, images, folded = matching
    zeta = zeta.clone()
    zeta[4, 0] = math.inf
    with pytest.raises(FloatingPointError, match="step 0, row 4"):
        match(zeta, images, folded, FULL, beta=BETA)
