"""Error-minimising noise: its set, its order of work, its variants."""

import copy
import math

import pytest
import torch
from featpoison.attacks import emn
from featpoison.attacks.constraints import NoiseBall
from featpoison.attacks.emn import EMN, balanced_rows, minimise, perturb, start_network
from featpoison.common.pixels import to_pixels
from featpoison.downstream.networks import SGD, Classifier, Training
from featpoison.records.checkpoints import Checkpoint
from helpers import Fragile, Killed
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import slow

QUICK = EMN(
    steps=3,
    step_size=4.0,
    training_steps=2,
    max_rounds=2,
    stop_error=0.0,
    training=Training(batch_size=16),
    precision="float32",
)
VARIANTS = ("original", "end-to-end", "input")
every_variant = pytest.mark.parametrize("variant", VARIANTS)


@pytest.fixture
def task(images):
    return to_pixels(images[:20]), torch.arange(20) % 3


def run(task, encoder, folder, variant="end-to-end", seed=0, **changes):
    return perturb(
        *task,
        encoder,
        QUICK.model_copy(update=changes),
        variant=variant,
        classes=3,
        seed=seed,
        checkpoint=Checkpoint(folder / "out", {}),
    )


# The set


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(0.001, 0.4))
def test_projection_is_exact_in_float32(seed, radius):
    """Grey levels plus noise stay in [0, 1], noise within the radius, to the last bit; inside nothing
    moves."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (4, 3, 5, 5), generator=generator).float() / 255
    noise = torch.randn(4, 3, 5, 5, generator=generator)
    inside = NoiseBall(radius, images).project(noise)
    assert inside.double().abs().max() <= radius
    assert (images + inside).min() >= 0
    assert (images + inside).max() <= 1
    assert torch.equal(NoiseBall(radius, images).project(inside), inside)
    nearest = torch.minimum(
        torch.maximum(noise, (-images).clamp(min=-radius)), (1 - images).clamp(max=radius)
    )
    torch.testing.assert_close(inside, nearest, rtol=0, atol=1e-7)


@every_variant
def test_noise_stays_in_its_set_and_its_8_bit_copy_within_8_levels(variant, task, encoder, tmp_path):
    images, labels = task
    images[0], images[1] = 0.0, 1.0  # black and white: the range binds
    before = labels.clone()
    found = run((images, labels), encoder, tmp_path, variant)
    assert found.noise.dtype == torch.float32
    assert 0 < found.noise.double().abs().max() <= 8 / 255
    perturbed = images + found.noise
    assert perturbed.min() >= 0
    assert perturbed.max() <= 1
    assert ((255 * perturbed).round() - (255 * images).round()).abs().max() <= 8
    assert torch.equal(labels, before)


# What it optimises


@every_variant
def test_noise_lowers_the_training_loss_of_the_network_it_is_made_for(variant, task, encoder):
    images, labels = task
    network = start_network(encoder, variant, classes=3, seed=0)
    noise = minimise(network, images, labels, torch.zeros_like(images), EMN(precision="float32"))

    def losses(pixels):
        with torch.no_grad():
            return torch.nn.functional.cross_entropy(network.eval()(pixels), labels, reduction="none")

    assert losses(images + noise).mean() < losses(images).mean()
    assert (losses(images + noise) <= losses(images) + 1e-6).double().mean() > 0.9


def test_a_noise_step_is_the_papers(task, encoder):
    """-step sign(gradient), by a plain gradient of the mean loss in evaluation mode, image by image."""
    images, labels = task
    network = start_network(encoder, "end-to-end", classes=3, seed=0)
    noise = minimise(network, images, labels, torch.zeros_like(images), EMN(steps=1, precision="float32"))
    network.eval()
    agree = 0.0
    for i in range(len(images)):
        leaf = images[i : i + 1].clone().requires_grad_(True)
        torch.nn.functional.cross_entropy(network(leaf), labels[i : i + 1]).backward()
        step = (images[i : i + 1] - 0.8 / 255 * leaf.grad.sign()).clamp(0, 1) - images[i : i + 1]
        agree += ((noise[i : i + 1] - step).abs() < 1e-6).double().mean().item() / len(images)
    assert agree > 0.999  # signs of rounding errors may differ


def test_images_are_those_of_the_authors_code_and_noise_differs_by_their_last_clipping(task, encoder):
    images, labels = task
    images[0], images[1], images[2:] = (
        0.0,
        1.0,
        images[2:].clamp(0.01, 0.99),
    )  # the range binds at some pixels
    images, first = images.double(), torch.zeros_like(images).double()
    network = copy.deepcopy(start_network(encoder, "end-to-end", classes=3, seed=0)).double()
    choices = EMN(steps=6, precision="float32")
    ours = theirs = first
    for _ in range(2):
        ours = minimise(network, images, labels, ours, choices)
        theirs = slow.error_minimising_noise(network, images, labels, theirs, choices)
    torch.testing.assert_close(images + ours, (images + theirs).clamp(0, 1), rtol=0, atol=1e-12)
    off = 255 * (ours - theirs).abs()
    assert off.max() > 0.5
    assert off.max() <= choices.step_size + 1e-6


def test_stops_by_the_criterion_or_by_rounds(task, encoder, tmp_path):
    easy = run(task, encoder, tmp_path / "a", stop_error=0.99)
    assert (len(easy.errors), easy.by_criterion) == (1, True)
    hard = run(task, encoder, tmp_path / "b", steps=1, step_size=1e-4, training_steps=1)
    assert (len(hard.errors), hard.by_criterion) == (2, False)
    free = run(
        task,
        encoder,
        tmp_path / "c",
        variant="input",
        stop_error=0.01,
        max_rounds=None,
        steps=20,
        step_size=0.8,
        training_steps=10,
    )
    assert free.by_criterion
    assert free.errors[-1] <= 0.01


# Variants


def test_the_frozen_encoder_is_left_as_it_was(task, encoder, tmp_path):
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    run(task, encoder, tmp_path, "input")
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    for key, value in encoder.state_dict().items():
        assert torch.equal(value, before[key]), key


@pytest.mark.parametrize("variant", ["original", "end-to-end"])
def test_whole_networks_train_a_copy(variant, task, encoder, tmp_path, monkeypatch):
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    made = []
    monkeypatch.setattr(
        emn, "start_network", lambda *args, **named: made.append(start_network(*args, **named)) or made[-1]
    )
    run(task, encoder, tmp_path, variant)
    for key, value in encoder.state_dict().items():
        assert torch.equal(value, before[key]), key
    own = made[0].encoder.state_dict()
    assert all(not torch.equal(own[key], value) for key, value in before.items() if value.is_floating_point())
    assert own["trunk.bn1.num_batches_tracked"] == 4 + (
        before["trunk.bn1.num_batches_tracked"] if variant == "end-to-end" else 0
    )


def test_starts_are_what_the_variants_say(encoder):
    original, again, other = (start_network(encoder, "original", classes=3, seed=seed) for seed in (0, 0, 1))
    key = "trunk.layer1.0.conv1.weight"
    assert torch.equal(original.encoder.state_dict()[key], again.encoder.state_dict()[key])
    assert not torch.equal(original.encoder.state_dict()[key], other.encoder.state_dict()[key])
    # The fixture is made from seed 0, as `original`.
    assert not torch.equal(other.encoder.state_dict()[key], encoder.state_dict()[key])
    tuned = start_network(encoder, "end-to-end", classes=3, seed=0)
    assert torch.equal(tuned.encoder.state_dict()[key], encoder.state_dict()[key])
    assert len(tuned.trained()) == len(list(tuned.parameters()))
    frozen = start_network(encoder, "input", classes=3, seed=0)
    assert [parameter.shape for parameter in frozen.trained()] == [(3, encoder.dimension), (3,)]
    assert not frozen.train().encoder.training


# Order of work


def spy(monkeypatch):
    """What training steps see: batches of pixels and labels."""
    seen = []
    step = SGD.step
    monkeypatch.setattr(
        SGD,
        "step",
        lambda self, pixels, labels, rate: (
            seen.append((pixels.clone(), labels)) or step(self, pixels, labels, rate)
        ),
    )
    return seen


def test_every_sample_keeps_its_own_noise_in_any_order(task, encoder, tmp_path, monkeypatch):
    images, labels = task
    seen = spy(monkeypatch)
    first = run(task, encoder, tmp_path / "a", max_rounds=1, training_steps=4)
    seen.clear()
    run(task, encoder, tmp_path / "b", max_rounds=2, training_steps=4)
    second_round = seen[4:]
    assert len(second_round) == 4
    orders = []
    for pixels, batch_labels in second_round:
        distance = (pixels.unsqueeze(1) - (images + first.noise)).flatten(2).abs().amax(2)  # (b, n)
        rows = distance.argmin(1)
        assert distance.amin(1).max() == 0  # exactly this sample with this sample's noise
        assert torch.equal(batch_labels, labels[rows])
        orders.append(rows.tolist())
    # An epoch: every sample once, the last batch smaller.
    assert sorted(orders[0] + orders[1]) == list(range(20))
    assert orders[0] + orders[1] != orders[2] + orders[3]
    assert orders[0] != sorted(orders[0])


def test_noise_is_added_before_augmentation(task, encoder, tmp_path, monkeypatch):
    """The augmentation gets the noisy images, and training sees just what it returns: noise added afterwards
    would show."""
    images, _ = task
    seen, given_pixels = spy(monkeypatch), []
    monkeypatch.setattr(
        emn,
        "shift_and_flip",
        lambda pixels, padding, generator: given_pixels.append(pixels.clone()) or torch.zeros_like(pixels),
    )
    run(task, encoder, tmp_path, padding=2)
    assert all(pixels.abs().max() == 0 for pixels, _ in seen)
    late = torch.cat(given_pixels[2:])  # after the first round there is noise
    assert (late.unsqueeze(1) - images).flatten(2).abs().amax(2).amin(1).min() > 0


def test_features_of_a_frozen_encoder_are_never_augmented(task, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(emn, "shift_and_flip", lambda *args: pytest.fail("augmented"))
    run(task, encoder, tmp_path, "input", padding=4)


# Seeds, resuming, odd sizes


@every_variant
def test_seeds_repeat_and_differ(variant, task, encoder, tmp_path):
    first, again, other = (
        run(task, encoder, tmp_path / name, variant, seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert torch.equal(first.noise, again.noise)
    assert first.errors == again.errors
    assert not torch.equal(first.noise, other.noise)


def test_global_random_state_plays_no_part(task, encoder, tmp_path):
    torch.manual_seed(1)
    first, state = run(task, encoder, tmp_path / "a", "original"), torch.get_rng_state()
    torch.manual_seed(2)
    again = run(task, encoder, tmp_path / "b", "original")
    assert torch.equal(first.noise, again.noise)
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())


@every_variant
def test_a_killed_search_resumes_bit_for_bit(variant, task, encoder, tmp_path, monkeypatch):
    # Rounds end within an epoch.
    changes = {"max_rounds": 3, "training_steps": 3, "padding": 1}
    whole = run(task, encoder, tmp_path / "whole", variant, **changes)

    fragile = Fragile(tmp_path / "out", {}, lambda facts: len(facts["errors"]) == 2)
    settings = QUICK.model_copy(update=changes)
    with pytest.raises(Killed):
        perturb(*task, encoder, settings, variant=variant, classes=3, seed=0, checkpoint=fragile)
    seen = spy(monkeypatch)
    resumed = run(task, encoder, tmp_path, variant, **changes)
    assert len(seen) == 3  # the last round only
    assert torch.equal(resumed.noise, whole.noise)
    assert resumed.errors == whole.errors


@every_variant
@pytest.mark.parametrize(
    "labels", [[0, 2, 2, 0, 2], [0, 1, 2], [1]], ids=["class absent", "one per class", "one image"]
)
def test_odd_sets(variant, labels, images, encoder, tmp_path):
    task = to_pixels(images[: len(labels)]), torch.tensor(labels)
    found = run(task, encoder, tmp_path, variant, training=Training(batch_size=2))
    assert found.noise.shape == task[0].shape
    assert found.noise.isfinite().all()
    assert found.noise.flatten(1).abs().amax(1).min() > 0


def test_balanced_rows_are_the_first_of_each_class():
    labels = torch.tensor([1, 0, 1, 3, 1, 0, 0, 3])
    assert balanced_rows(labels, 2).tolist() == [0, 1, 2, 3, 5, 7]
    assert balanced_rows(labels, 1).tolist() == [0, 1, 3]
    assert balanced_rows(labels, 99).tolist() == list(range(8))
    assert balanced_rows(labels, None).tolist() == list(range(8))


# Not a number


def test_not_a_number_names_round_and_step(task, encoder, tmp_path, monkeypatch):
    images, labels = task
    broken = images.clone()
    broken[3, 0, 0, 0] = math.nan
    with pytest.raises(FloatingPointError, match="round 1, training step 0: the loss is nan"):
        run((broken, labels), encoder, tmp_path / "a", training=Training(batch_size=20))
    with pytest.raises(FloatingPointError, match="round 7, noise step 0"):
        minimise(
            start_network(encoder, "input", classes=3, seed=0),
            broken,
            labels,
            torch.zeros_like(images),
            QUICK,
            number=7,
        )
    calls = []
    forward = Classifier.forward

    def late(self, pixels):
        calls.append(1)
        # Second round, noise step 1 of the first block.
        return forward(self, pixels) * (math.nan if len(calls) == 2 + 2 * 3 + 1 + 2 + 2 else 1)

    monkeypatch.setattr(Classifier, "forward", late)
    with pytest.raises(FloatingPointError, match="round 2, noise step 1"):
        run(task, encoder, tmp_path / "b")
