"""Training whole networks: each written-out step against torch's, and the victims."""

import math

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as TF
from featpoison.downstream import networks as N
from featpoison.downstream.networks import (
    SGD,
    Classifier,
    NetworkVictims,
    Training,
    batch_rows,
    first_rate,
    from_pretrained,
    retrain_networks,
    shift_and_flip,
    start_network,
    train_network,
)
from featpoison.heads import initial_omega
from featpoison.records.checkpoints import Checkpoint
from featpoison.softmax import Head
from helpers import Fragile, Killed

QUICK = NetworkVictims(epochs=2, training=Training(batch_size=16), precision="float32", seeds=(0, 1))


@pytest.fixture
def task(images):
    return torch.from_numpy(images[:40]), torch.arange(40) % 3


@pytest.mark.parametrize("clip", [0.5, 1e6])
def test_sgd_is_torchs(clip, task, encoder):
    training = Training(learning_rate=0.05, gradient_clip=clip, weight_decay=0.01)
    ours, theirs = (from_pretrained(encoder, classes=3, seed=0) for _ in range(2))
    optimizer = SGD(ours, training, "float32")
    oracle = torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    for step in range(3):
        pixels, labels = task[0][8 * step : 8 * step + 8].float() / 255, task[1][8 * step : 8 * step + 8]
        loss = optimizer.step(pixels, labels, 0.05)
        oracle.zero_grad()
        value = torch.nn.functional.cross_entropy(theirs.train()(pixels), labels)
        value.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), clip)
        oracle.step()
        assert loss == pytest.approx(value.item(), rel=1e-4)
    for key, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value, rtol=1e-3, atol=1e-5)


def test_shift_and_flip_is_a_crop_of_the_padded_image(generator):
    images = torch.rand(40, 3, 12, 10, generator=generator)
    views = shift_and_flip(images, 2, torch.Generator().manual_seed(3))
    drawn = set()
    for image, view in zip(images, views, strict=True):
        padded = TF.pad(image, [2, 2, 2, 2])
        crops = {
            (top, left, flip): TF.horizontal_flip(crop) if flip else crop
            for top in range(5)
            for left in range(5)
            for crop in [TF.crop(padded, top, left, 12, 10)]
            for flip in (False, True)
        }
        (match,) = [place for place, crop in crops.items() if torch.equal(crop, view)]
        drawn.add(match)
    assert len(drawn) > 20  # every image draws its own
    assert {top for top, _, _ in drawn} == {left for _, left, _ in drawn} == set(range(5))
    assert {flip for *_, flip in drawn} == {False, True}


def test_no_padding_only_mirrors(generator):
    images = torch.rand(9, 3, 6, 6, generator=generator)
    views = shift_and_flip(images, 0, generator)
    for image, view in zip(images, views, strict=True):
        assert torch.equal(view, image) or torch.equal(view, image.flip(2))


def test_an_epoch_sees_every_row_once():
    steps = [batch_rows(10, 4, 0, step) for step in range(6)]
    assert [len(rows) for rows in steps] == [4, 4, 2] * 2
    assert sorted(torch.cat(steps[:3]).tolist()) == sorted(torch.cat(steps[3:]).tolist()) == list(range(10))
    assert not torch.equal(steps[0], steps[3])
    assert not torch.equal(steps[0], batch_rows(10, 4, 1, 0))


def test_a_network_learns_and_repeats(task, encoder):
    images, labels = task
    victims = QUICK.model_copy(update={"epochs": 15, "padding": 0})
    first, again = (
        train_network(from_pretrained(encoder, classes=3, seed=0), images, labels, victims, seed=0, rate=0.05)
        for _ in range(2)
    )
    assert (N.predictions(first, images) == labels).double().mean() > 0.8
    for key, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


def test_rate_ends_at_zero_after_half_a_cosine(task, encoder, monkeypatch):
    rates = []
    monkeypatch.setattr(SGD, "step", lambda self, pixels, labels, rate: rates.append(rate) or torch.zeros(()))
    train_network(from_pretrained(encoder, classes=3, seed=0), *task, QUICK, seed=0, rate=0.2)
    assert len(rates) == 2 * 3
    assert rates[0] == 0.2
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=6)
    for rate in rates:
        assert rate == pytest.approx(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert schedule.get_last_lr()[0] == pytest.approx(0)


def test_victims_resume_and_tell_sets_and_seeds_apart(task, encoder, tmp_path, monkeypatch):
    images, labels = task
    sets = [images, images.flip(0)]

    def build(seed: int) -> Classifier:
        return from_pretrained(encoder, classes=3, seed=seed)

    def retrain(checkpoint):
        return retrain_networks(
            sets, labels, (images, labels), build, QUICK, rate=0.05, checkpoint=checkpoint
        )

    whole = retrain(Checkpoint(tmp_path / "whole", {}))
    assert whole.shape == (2, 2)
    alone = train_network(build(1), sets[1], labels, QUICK, seed=1, rate=0.05)
    assert whole[1, 1] == (N.predictions(alone, images) == labels).double().mean().item()

    with pytest.raises(Killed):
        retrain(Fragile(tmp_path / "cut", {}, lambda facts: len(facts["shares"]) == 3))
    trained = []
    monkeypatch.setattr(
        N, "train_network", lambda *args, **named: trained.append(1) or train_network(*args, **named)
    )
    np.testing.assert_array_equal(retrain(Checkpoint(tmp_path / "cut", {})), whole)
    assert len(trained) == 1


def test_not_a_number_names_seed_and_step(task, encoder):
    images = task[0].float() / 255
    images[5] = math.nan
    with pytest.raises(FloatingPointError, match=r"seed 1: the loss is nan at step \d"):
        train_network(from_pretrained(encoder, classes=3, seed=1), images, task[1], QUICK, seed=1, rate=0.05)


def test_networks_start_as_their_variant_says(encoder):
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    original, again = (start_network(encoder, "original", classes=3, seed=4) for _ in range(2))
    other = start_network(encoder, "original", classes=3, seed=5)
    assert torch.equal(original.encoder.trunk.conv1.weight, again.encoder.trunk.conv1.weight)
    assert not torch.equal(original.encoder.trunk.conv1.weight, other.encoder.trunk.conv1.weight)
    assert not torch.equal(original.encoder.trunk.conv1.weight, encoder.trunk.conv1.weight)
    copied = start_network(encoder, "end-to-end", classes=3, seed=4)
    assert copied.encoder is not encoder
    assert all(torch.equal(value, before[key]) for key, value in copied.encoder.state_dict().items())
    for whole in (original, copied):
        assert len(whole.trained()) == len(list(whole.parameters()))
        assert whole.train().encoder.training
    frozen = start_network(encoder, "input", classes=3, seed=4)
    assert frozen.encoder is encoder
    assert [parameter.shape for parameter in frozen.trained()] == [(3, encoder.dimension), (3,)]
    assert not frozen.train().encoder.training
    for network in (original, copied, frozen):
        head = Head(network.head.weight.detach(), network.head.bias.detach())
        assert torch.equal(head.omega, initial_omega(3, encoder.dimension, 4))
    assert not torch.equal(other.head.weight, original.head.weight)


@pytest.mark.parametrize(("variant", "rate"), [("original", 0.3), ("end-to-end", 0.002), ("input", 0.3)])
def test_only_pretrained_networks_have_a_rate_of_their_own(variant, rate):
    victims = NetworkVictims(training=Training(learning_rate=0.3), pretrained_learning_rate=0.002)
    assert first_rate(victims, variant) == rate
    assert first_rate(NetworkVictims(training=Training(learning_rate=0.3)), variant) == 0.3
